"""A YAML file as a tree whose nodes know their place, and what became of each: nothing in a file goes by unnoticed.

Scalars stay text: the address 0.10 means core 10 of tile 0, which a parser of numbers would make 0.1. Files are
parsed event by event, so nothing in them is ever constructed or expanded. Refused, as SANA-FE does not know them or
could mean either of two: aliases, tags, repeated keys, further documents.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import yaml  # type: ignore[import-untyped]

from nsim.chip.file import printable, show
from nsim.errors import NsimError, open_regular

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster, where PyYAML was built with it
MAX_BYTES = 256_000_000
MAX_DEPTH = 24
CARRIED, APPROXIMATED, LEFT = "carried over", "approximated", "not carried over"
UNKNOWN = "nsim does not know this field: it has no effect here"
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
INDEX = re.compile(r"\[\d+\]")
LISTS_OF_ADDRESSES = ("network.groups.neurons", "network.edges", "mappings")  # whose keys are addresses, not fields


@dataclass(frozen=True)
class Fate:
    """What became of a node: one of the three verdicts, and as what or why."""

    verdict: str
    words: str


@dataclass(eq=False)
class Node:
    """One value of a file.

    value     text, a list of texts (if it holds nothing else) or of nodes, or a table of nodes
    path      where it stands, such as architecture.tile[0].attributes.latency_east_hop
    pattern   the path without numbers and addresses: what nodes of the same meaning share
    """

    file: str
    path: str
    pattern: str
    line: int
    error: type[NsimError]
    value: str | list[str | Node] | dict[str, Node] = ""
    fate: Fate | None = field(default=None, repr=False)

    def fail(self, problem: str) -> NoReturn:
        where = f"{self.file}: line {self.line}: {self.path}" if self.path else self.file
        raise self.error(printable(f"{where}: {problem}"))

    def carried(self, words: str) -> None:
        self.fate = Fate(CARRIED, words)

    def approximated(self, words: str) -> None:
        self.fate = Fate(APPROXIMATED, words)

    def left(self, words: str) -> None:
        self.fate = Fate(LEFT, words)

    def rows(self, by_pattern: bool) -> list[Row]:
        """Every field under this node with its fate; those of one pattern and fate in one row if asked for."""
        counted: dict[tuple[str, Fate], int] = {}
        for leaf, fate in self._fates():
            key = (leaf.pattern if by_pattern else leaf.path, fate)
            counted[key] = counted.get(key, 0) + 1
        return [Row(path, fate.verdict, fate.words, number) for (path, fate), number in counted.items()]

    def _fates(self) -> Iterator[tuple[Node, Fate]]:
        inner = self.children()
        if self.fate is not None or not inner:
            if self.fate is not None or self.value not in ([], {}):  # nothing stands in an empty list
                yield self, self.fate or Fate(LEFT, UNKNOWN)
            return
        for child in inner:
            yield from child._fates()

    def children(self) -> list[Node]:
        if isinstance(self.value, dict):
            return list(self.value.values())
        return [item for item in self.value if isinstance(item, Node)] if isinstance(self.value, list) else []

    def table(self, what: str) -> dict[str, Node]:
        if not isinstance(self.value, dict):
            self.fail(f"is {self._kind}, but {what} expected: give key: value lines")
        return self.value

    def items(self, what: str) -> list[Node]:
        """Of a list; texts become nodes."""
        if self.value == "" or self.value == []:
            return []
        if not isinstance(self.value, list):
            self.fail(f"is {self._kind}, but {what} expected: begin every entry with '- '")
        return [self._item(number, item) if isinstance(item, str) else item for number, item in enumerate(self.value)]

    def _item(self, number: int, text: str) -> Node:
        return Node(self.file, f"{self.path}[{number}]", self.pattern, self.line, self.error, text)

    def entries(self, what: str) -> list[tuple[str, Node]]:
        """Keys and values, in order, of a table or of a list of tables; both are how SANA-FE writes attributes."""
        if isinstance(self.value, dict):
            return list(self.value.items())
        return [pair for item in self.items(what) for pair in item.table(what).items()]

    def get(self, key: str) -> Node | None:
        return self.value.get(key) if isinstance(self.value, dict) else None

    def need(self, key: str, what: str) -> Node:
        found = self.table(f"a table with {key!r}").get(key)
        if found is None:
            self.fail(f"{key!r} is missing: add {key}: ... ({what})")
        return found

    @property
    def text(self) -> str:
        if not isinstance(self.value, str):
            self.fail(f"is {self._kind}: expected a single value")
        return self.value

    @property
    def named(self) -> str:
        if not self.text.strip():
            self.fail("is empty: give a name")
        return self.text

    @property
    def _kind(self) -> str:
        if isinstance(self.value, str):
            return f"the text {show(self.value)}" if self.value else "empty"
        return "a table" if isinstance(self.value, dict) else f"a list of {len(self.value)}"

    def decimal(self) -> Decimal:
        if not NUMBER.fullmatch(self.text.strip()) or not math.isfinite(float(self.text)):
            self.fail(f"is {show(self.text)}: expected a finite number")
        return Decimal(self.text.strip())

    def real(self) -> float:
        return float(self.decimal())

    def whole(self, low: int, high: int) -> int:
        number = self.real()
        if number != int(number) or not low <= number <= high:
            self.fail(f"is {show(self.text)}: expected a whole number from {low} to {high:,}")
        return int(number)

    def flag(self) -> bool:
        word = self.text.strip().lower()
        if word not in TRUE and word not in FALSE:
            self.fail(f"is {show(self.text)}: expected true or false")
        return word in TRUE

    def reals(self, count: int) -> list[float]:
        """A list of numbers of this length."""
        if self.value == "":
            self.value = []
        if not isinstance(self.value, list) or any(isinstance(item, Node) for item in self.value):
            self.fail(f"is {self._kind}: expected a list of {count} numbers")
        if len(self.value) != count:
            self.fail(f"has {len(self.value)} entries for {count} connections: give one for each")
        return [item.real() for item in self.items("numbers")]


@dataclass(frozen=True)
class Row:
    """What became of one field, or of all fields of one meaning."""

    field: str
    verdict: str
    words: str
    number: int


def read_tree(path: Path, error: type[NsimError]) -> Node:
    """Parse a YAML file. Raises `error`, one line with file and line, for whatever cannot be read."""
    root = Node(str(path), "", "", 1, error)
    text = _read_text(path, root)
    stack: list[_Open] = []
    try:
        for event in yaml.parse(text, Loader=LOADER):
            _take(event, stack, root)
    except yaml.reader.ReaderError as problem:
        root.fail(f"holds the character 0x{problem.character:02x}, which YAML does not allow: save it as plain text")
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        reason = getattr(problem, "problem", None) or "it ends too early"
        line = mark.line + 1 if mark else text.count("\n") + 1
        root.fail(f"line {line}: not valid YAML ({reason}): correct it there, or fetch the file again")
    if root.value == "":
        root.fail("is empty: give the file that SANA-FE reads")
    return root


def _read_text(path: Path, root: Node) -> str:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        root.fail("no such file: give the path of a YAML file that SANA-FE reads")
    except (OSError, ValueError) as problem:
        root.fail(f"cannot be read ({getattr(problem, 'strerror', None) or problem}): give a readable YAML file")
    if len(content) > MAX_BYTES:
        root.fail(f"has more than {MAX_BYTES:,} bytes: split the network, or keep weights out of the text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        root.fail(f"line {line}: byte 0x{content[problem.start]:02x} is not UTF-8: save the file as UTF-8 text")


@dataclass(eq=False)
class _Open:
    """A list or table that is being read."""

    node: Node
    nodes: list[Node] = field(default_factory=list)
    table: dict[str, Node] | None = None
    key: str | None = None


def _take(event: yaml.Event, stack: list[_Open], root: Node) -> None:
    line = event.start_mark.line + 1
    if isinstance(event, yaml.DocumentStartEvent) and root.value != "":
        root.fail(f"line {line}: begins a second document: keep one per file")
    if isinstance(event, yaml.AliasEvent):
        root.fail(f"line {line}: *{event.anchor} is an alias, which SANA-FE does not follow: write the value out")
    if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) not in (None, "!"):
        root.fail(f"line {line}: tag {event.tag} has no meaning here: remove it")
    if isinstance(event, yaml.ScalarEvent):
        _value(event.value, line, stack, root)
    elif isinstance(event, yaml.CollectionStartEvent):
        if len(stack) == MAX_DEPTH:
            root.fail(f"line {line}: nested more than {MAX_DEPTH} deep: no field of SANA-FE's files needs that")
        if stack and stack[-1].table is not None and stack[-1].key is None:
            root.fail(f"line {line}: a list or table as a key: put the text in quotes")
        node = _child(line, stack, root)
        stack.append(_Open(node, table={} if isinstance(event, yaml.MappingStartEvent) else None))
    elif isinstance(event, yaml.CollectionEndEvent):
        _close(stack, root)


def _value(text: str, line: int, stack: list[_Open], root: Node) -> None:
    if stack and stack[-1].table is not None and stack[-1].key is None:
        if text in stack[-1].table:
            root.fail(f"line {line}: {show(text)} is given twice in {stack[-1].node.path or 'the file'}: keep one")
        stack[-1].key = text
        return
    node = _child(line, stack, root)
    node.value = text
    _put(node, stack, root)


def _child(line: int, stack: list[_Open], root: Node) -> Node:
    """A node for what comes next, wherever the innermost open list or table puts it."""
    if not stack:
        return Node(root.file, "", "", line, root.error)
    parent = stack[-1]
    if parent.table is None:
        path, pattern = f"{parent.node.path}[{len(parent.nodes)}]", parent.node.pattern
    else:
        name = "*" if parent.node.pattern in LISTS_OF_ADDRESSES else parent.key
        path = f"{parent.node.path}.{parent.key}".removeprefix(".")
        pattern = f"{parent.node.pattern}.{name}".removeprefix(".")
    return Node(root.file, path, pattern, line, root.error)


def _put(node: Node, stack: list[_Open], root: Node) -> None:
    if not stack:
        root.value, root.line = node.value, node.line
        return
    parent = stack[-1]
    if parent.table is None:
        parent.nodes.append(node)
    else:
        assert parent.key is not None  # a key was read, or `_value` would have taken this for one
        parent.table[parent.key] = node
        parent.key = None


def _close(stack: list[_Open], root: Node) -> None:
    done = stack.pop()
    if done.table is not None:
        done.node.value = done.table
    elif all(isinstance(item.value, str) for item in done.nodes):
        done.node.value = [str(item.value) for item in done.nodes]
    else:
        done.node.value = list(done.nodes)
    _put(done.node, stack, root)
