"""The worked example of chips/README.md, followed to the letter."""

import json
import re
import shlex
from pathlib import Path

import pytest

from nsim.cli.main import app

PAGE = Path(__file__).parents[2] / "chips" / "README.md"


@pytest.fixture
def section():
    return PAGE.read_text(encoding="utf-8").split("## A chip in ten minutes\n")[1].split("\n## ")[0]


def test_the_example_runs_and_takes_what_it_says(section, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (file,) = re.findall(r"```toml\n(.*?)```", section, re.S)
    (name,) = re.findall(r"save it as `(.*?)`", section)
    Path(name).write_text(file, encoding="utf-8")
    (commands,) = re.findall(r"```\n(nsim .*?)```", section, re.S)
    for command in commands.strip().splitlines():
        program, *arguments = shlex.split(command)
        assert program == "nsim"
        app(arguments, standalone_mode=False)
    shown = capsys.readouterr().out
    assert "An example of four cores" in shown
    assert f"({tmp_path / name})" in "".join(shown.split())
    (time_ps,) = re.findall(r"\*\*([\d,]+) ps\*\*", section)
    summary = json.loads(Path("results/summary.json").read_text(encoding="utf-8"))
    assert summary["time_per_timestep_ps"] == int(time_ps.replace(",", ""))
    assert Path("example.png").read_bytes()[:4] == b"\x89PNG"
