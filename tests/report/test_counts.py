"""A count stands with its noun in the number it needs: "1 frame", "2 frames"; on screens, in pages and in errors."""

import ast
import re
from pathlib import Path

import pytest

import nsim as package
from tests.generators.commands import nsim

ROOMS = ("result", "report", "optimize", "sweep", "cli")
NOUNS = (  # of what is counted
    "bits|boards|bytes|candidates|chips|columns|commands|connections|copies|cores|elements|epochs|evaluations|"
    "events|experiments|fields|figures|files|floorlines|frames|hops|images|inputs|labels|layers|lines|links|"
    "mappings|messages|networks|neurons|NPs|outputs|packets|parameters|points|ports|problems|processes|"
    "recordings|rounds|routers|rows|runs|samples|seeds|sequences|settings|spikes|stages|stations|steps|"
    "streams|synapses|synops|ticks|tiles|timesteps|WAVs|windows|words|workers"
)
BARE = re.compile(rf" (?:more |other |test )?(?:{NOUNS})(?![\w/-])")
ONE = re.compile(r"(?<![\w.,/x])1 (?:[a-z]+ )?([A-Za-z]+s)\b(?!/)")
NO_COUNT = re.compile(r": ([A-Z_]+|facts\['(routes|lines|columns)'\]|fabric\.cell_name\(.*\)) ")  # but names, and 4x4
SINGULAR = {"is", "was", "has", "this", "its", "us", "ns", "ps", "ms", "less", "process", "works", "needs", "as"}


def bare_counts(path):
    """Values of f-strings that stand before a noun in the plural, without a digit behind the point ("1.0 points")."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                    decimals = value.format_spec is not None and ".1f" in ast.unparse(value.format_spec)
                    if BARE.match(text.value) and not decimals:
                        yield f"{path.name}:{value.lineno}: {ast.unparse(value.value)}{text.value}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_count_is_written_with_its_noun(room):
    """By `counted` or `plural`, which know the singular; names in capitals are never 1."""
    folder = Path(package.__file__).parent / room
    found = [each for path in sorted(folder.rglob("*.py")) for each in bare_counts(path)]
    assert [each for each in found if not NO_COUNT.search(each)] == []


def test_bare_counts_are_found(tmp_path):
    """The check itself."""
    source = tmp_path / "page.py"
    source.write_text('a = f"{n} frames"\nb = f"{n:,} more rows"\nc = f"{x:.1f} points, {y} us, {z} synops/s"\n')
    assert [each.partition(":")[2] for each in bare_counts(source)] == ["1: n frames", "2: n more rows"]


ONES = {
    "barrier": ("run", "mlp:width=1,depth=1,inputs=1", "--chip", "loihi2", "--timesteps", "1", "--activity", "1"),
    "frame": ("run", "cnn", "--chip", "akd1000", "--samples", "1", "--activity", "0.001", "-v"),
    "stream": ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=2e3,seconds=0.001", "-v"),
    "tick": (
        "run",
        "random:p1=0.9",
        "--chip",
        "mosaic",
        "--grid",
        "1x2",
        "--timesteps",
        "1",
        "--activity",
        "0.1",
        "-v",
    ),
    "floorline": ("floorline", "cnn", "--chip", "akd1000", "--samples", "1", "--activity", "0.001"),
    "floorline of timesteps": ("floorline", "mlp:width=8,depth=1", "--chip", "loihi2", "--timesteps", "1"),
    "map": ("map", "random:p1=0.9", "--chip", "mosaic", "--grid", "1x2", "--explain"),
    "optimize": ("optimize", "mlp:width=8,depth=1", "--chip", "loihi2", "--timesteps", "1", "--budget", "1"),
    "compare-chips": ("compare-chips", "mlp:width=8,depth=1", "--chips", "loihi2", "--timesteps", "1"),
}


@pytest.mark.parametrize("command", ONES)
def test_screens_of_ones(command, tmp_path):
    done = nsim(*ONES[command], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert [found[0] for found in ONE.finditer(shown) if found[1] not in SINGULAR] == []
