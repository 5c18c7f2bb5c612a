"""The glossary has one term for each thing; what is printed does not use another, and opens with its subject."""

import re
from pathlib import Path

from typer.main import get_command

from nsim.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(path for pattern in ("*.md", "docs/**/*.md", "chips/*.md", "benchmarks/**/*.md") for path in ROOT.glob(pattern)),
    *ROOT.glob("chips/*.toml"),
    *ROOT.glob("nsim/report/**/*.j2"),
    *ROOT.glob("nsim/**/*.py"),
]
NOT_TEXT = {"CHANGELOG.md", "glossary.md"}  # the past as it was said, and the list itself
NO_SUBJECT = re.compile(r"(That|It|What|Which|Of)\b")


def entries():
    rows = re.findall(r"^\| (.+?) \| (.+?) \| ?(.*?) ?\|$", (ROOT / "docs/glossary.md").read_text(), re.M)
    return [row for row in rows if row[0] not in {"term", "---"}]


BANNED = {phrase: term for term, _, phrases in entries() for phrase in filter(None, phrases.split(", "))}


def helps(command, where="nsim"):
    """(where, help text) of a command, its options and everything below it."""
    yield where, command.help or ""
    yield from (
        (f"{where} {option.opts[0]}", option.help or "") for option in command.params if hasattr(option, "help")
    )
    for name, below in getattr(command, "commands", {}).items():
        yield from helps(below, f"{where} {name}")


def test_the_glossary_is_sorted_and_says_each_term_once():
    terms = [term for term, *_ in entries()]
    assert terms == sorted(set(terms), key=str.lower)
    assert len(terms) >= 30
    assert len(BANNED) >= 10


def test_one_term_for_each_thing():
    texts = {path: " ".join(path.read_text().split()).lower() for path in DOCUMENTS if path.name not in NOT_TEXT}
    found = [
        (str(path.relative_to(ROOT)), phrase) for path, text in texts.items() for phrase in BANNED if phrase in text
    ]
    assert [f"{path}: {phrase!r}, say {BANNED[phrase]}" for path, phrase in found] == []


def test_help_texts_open_with_what_they_set():
    texts = dict(helps(get_command(app)))
    assert len(texts) > 200
    assert {where: text for where, text in texts.items() if NO_SUBJECT.match(text)} == {}
    assert {where: text for where, text in texts.items() if not text.strip()} == {}
