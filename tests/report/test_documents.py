"""Documents: the README is short, its outputs are real, and no link leads nowhere."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import readme

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *ROOT.glob("*.md"),
    *(path for room in ("docs", "chips", "benchmarks") for path in ROOT.glob(f"{room}/**/*.md")),
]


def anchors(page: Path) -> set[str]:
    """Of its headings, as they are made on GitHub and by MyST."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_one_page():
    assert README.count("\n") <= 120
    above = README[: README.index("## Install")]
    assert above.count("\n- ") == 3  # limitations
    assert "measured.png" in above


def test_all_documents_are_in_the_list():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"} <= set(
        re.findall(r"\]\(([^)/]+)\)", index)
    )


def test_the_readme_installs_tests_and_runs_as_it_is_checked():
    """.ci/run takes these two lines from it."""
    for command in (
        "pip install '.[report,hdf5]' && nsim run pilotnet --chip loihi2",
        "pip install '.[test]' && pytest",
    ):
        assert f"```\n{command}\n```" in README


def test_the_examples_in_python_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.S)
    names: dict[str, object] = {}
    for block in blocks:
        if "import torch" in block and find_spec("torch") is None:
            continue
        exec(compile(block, "docs/python.md", "exec"), names)
    assert capsys.readouterr().out.count(" us ") == 4


@pytest.mark.slow
def test_the_outputs_in_the_readme_are_those_of_its_commands():
    """python -m benchmarks.readme writes them."""
    shown = README.split("<!-- commands: begin -->\n")[1].split("<!-- commands: end -->")[0]
    assert shown == readme.outputs() + "\n"
