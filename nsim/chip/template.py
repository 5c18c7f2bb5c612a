"""A chip file to begin one's own with: that of a shipped chip, under another name."""

from __future__ import annotations

import re
from pathlib import Path

from nsim.chip.file import available_chips, find_chip, printable, read_bytes
from nsim.chip.name import split_name
from nsim.errors import ChipError, OutputError

HEAD = "# {name}: begun as a copy of {chip}. Change what you know: a number of your own gets a source and a basis\n"
HEAD += (
    '# ("assumed" with a note that says why), and no range or one that holds it. nsim chips {file} shows all of it.\n'
)


def write_template(chip: str, path: Path) -> None:
    """Write the file of a chip, with its comments, under the name of the new file; no file is ever replaced.

    raises   ChipError for an unknown chip or one with changes, OutputError if the file cannot be made
    """
    if split_name(chip)[1]:
        raise ChipError(f"a template of {chip}: leave out the changes, and make them in the file")
    source, shown = find_chip(chip)
    text = read_bytes(source, shown, available_chips()).decode("utf-8-sig")
    if path.suffix != ".toml":
        raise OutputError(f"cannot write a chip file to {path}: end its name in .toml")
    named = re.sub(r"(?m)^name *=.*$", f'name = "{path.stem}"', text, count=1)
    file = path if path.is_absolute() or path.parent != Path() else f"./{path}"
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(HEAD.format(name=path.stem, chip=chip, file=file) + "\n" + named)
    except FileExistsError:
        raise OutputError(printable(f"{path} exists, and is not replaced: give another name")) from None
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): give a file in a folder that exists") from None
