"""What a run does to the files of its user: nothing is lost that nsim did not write, nothing damaged is read."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import InputError, OutputError
from nsim.result.folder import MANIFEST, OutputFolder, check_files, check_replaceable, files_in, manifest_of
from tests.generators.commands import SMALL, nsim, refused


def filled(names):
    def fill(folder):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"by nsim: {name}")

    return fill


def publish(path, names, force=False):
    with OutputFolder(path, force) as folder:
        folder.publish(filled(names))


NAMES = st.sets(st.sampled_from(["a.csv", "b.csv", "c/d.csv", "c/e.pdf", "f.json"]))


@settings(max_examples=60)
@given(first=NAMES, second=NAMES, others=NAMES)
def test_runs_replace_their_own_files_and_keep_all_others(tmp_path_factory, first, second, others):
    """Against a dictionary: what nsim wrote last, and what the user put there; a name of both is refused."""
    out = tmp_path_factory.mktemp("runs") / "out"
    publish(out, first)
    mine = others - first
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    if mine & second:
        with pytest.raises(OutputError, match="is in the way, and nsim did not write it"):
            publish(out, second)
        second = first
    else:
        publish(out, second)
    expected = {name: f"by nsim: {name}" for name in second} | dict.fromkeys(mine, "mine")
    assert {name: (out / name).read_text() for name in files_in(out) if name != MANIFEST} == expected
    assert set(manifest_of(out)) == set(second)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_notes_and_figures_of_the_user_stay(tmp_path):
    out = tmp_path / "tr5"
    assert nsim(*SMALL, "--out", out).returncode == 0
    (out / "my_notes.txt").write_text("important")
    (out / "figs").mkdir()
    (out / "figs" / "mine.png").write_bytes(b"mine")
    assert nsim(*SMALL, "--seed", "1", "--out", out).returncode == 0
    assert (out / "my_notes.txt").read_text() == "important" and (out / "figs" / "mine.png").read_bytes() == b"mine"


def test_a_folder_of_somebody_else_needs_force(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    assert "--force" in refused(*SMALL, "--out", tmp_path / "thesis")
    assert nsim(*SMALL, "--out", tmp_path / "thesis", "--force").returncode == 0
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "x"


@pytest.mark.parametrize("name", ["floorline.png", "plot.pdf", "plot.svg"])
def test_a_figure_replaces_only_figures_of_nsim(tmp_path, name):
    arguments = ("floorline", *SMALL[1:], "--plot", name)
    (tmp_path / name).write_bytes(b"a photograph")
    assert f"{name} exists, and nsim did not make it" in refused(*arguments, cwd=tmp_path)
    assert (tmp_path / name).read_bytes() == b"a photograph"
    assert nsim(*arguments, "--force", cwd=tmp_path).returncode == 0
    assert nsim(*arguments, cwd=tmp_path).returncode == 0  # its own


def test_a_page_replaces_only_pages_of_nsim(tmp_path):
    out = tmp_path / "out"
    assert nsim(*SMALL, "--out", out).returncode == 0
    (out / "report.html").write_text("<p>my own page")
    assert "nsim did not make it" in refused("report", out)
    assert nsim("report", out, "--force").returncode == 0 and nsim("report", out).returncode == 0
    assert "report.html" in manifest_of(out)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("damaged") / "out"
    assert nsim(*SMALL, "--out", out).returncode == 0
    return out


@settings(max_examples=40)
@given(data=st.data())
def test_a_result_that_was_changed_is_not_read(tmp_path_factory, run, data):
    """Any byte of any file: cut, changed or added, the report says so in one line."""
    copy = tmp_path_factory.mktemp("copy") / "out"
    copy.mkdir()
    for name in files_in(run):
        (copy / name).write_bytes((run / name).read_bytes())
    name = data.draw(st.sampled_from(sorted(manifest_of(run))))
    content = (copy / name).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "add", "gone"]))
    if kind == "gone":
        (copy / name).unlink()
    else:
        changed = {"cut": content[:at], "flip": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]}
        (copy / name).write_bytes(changed.get(kind, content + b"x"))
    with pytest.raises(InputError, match="run again with --out"):
        check_files(copy)


@pytest.mark.skipif(not Path("/proc/kmsg").exists(), reason="no such file of the kernel here")
@pytest.mark.parametrize("name", ["cores.csv", "summary.json", "manifest.json"])
def test_a_file_of_the_kernel_in_a_result_is_not_waited_for(tmp_path, run, name):
    shutil.copytree(run, tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / name).symlink_to("/proc/kmsg")
    with pytest.raises(InputError, match=f"{name}.*is no regular file"):
        check_files(tmp_path / "out")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": 3}', '{"files": {"a": 1}}', "[" * 100_000])
def test_a_damaged_manifest_is_one_line(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    assert "is damaged" in refused("report", tmp_path)


def test_what_is_in_the_manifest_is_what_was_written(run):
    assert set(manifest_of(run)) == set(files_in(run)) - {MANIFEST}
    assert json.loads((run / "summary.json").read_text())["network"]


def test_a_folder_is_no_figure(tmp_path):
    (tmp_path / "plot.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_replaceable(tmp_path / "plot.png")
