"""Figures within a page: matplotlib's SVG in the page's font and colours, with a name on every mark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from itertools import count
from string import ascii_lowercase, digits
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from nsim.report.content import METRICS, Content, Mesh
from nsim.report.vector import SHADES, WIDTH, drawing, figures_of, mesh_figure, scale_ticks, shades

LETTERS = digits + ascii_lowercase  # of shades
SHAPES = ("use", "path")
DROPPED = r"<\?xml.*?(?=<svg)|<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>|<!--.*?-->"
TEXTS = (  # what a page does without, or says in its own way
    (DROPPED, ""),
    (r"\s+", " "),
    (r"> (?=<)", ">"),
    (r'xmlns(:\w+)?="[^"]*"|version="[^"]*"|(width|height)="[\d.]+pt"', ""),
    (r"xlink:", ""),
    (r"(\.\d\d)\d+", r"\1"),
    (r";? ?font-family: [^;\"]*", ""),
    (r"font: ([\d.]+px) '[^;\"]*", r"font-size: \1"),
    (r' transform="rotate\(-0 [^"]*"', ""),
    ("#000000", "currentColor"),
    ("#dddddd|#cccccc", "var(--line)"),
    ("#ffffff", "var(--paper)"),
    ("#666666", "var(--soft)"),
    ("#d00000", "var(--alarm)"),
)


def sections(contents: Sequence[Content]) -> list[dict[str, Any]]:
    """Sections of a page: id, title, text, figures, and what the mesh can be switched to."""
    with drawing():
        return [_section(content) for content in contents]


def _section(content: Content) -> dict[str, Any]:
    section: dict[str, Any] = {"id": content.key, "title": content.title, "text": content.text}
    if not isinstance(content, Mesh) or len(content.metrics) == 1:
        return section | {"figures": [inline(figure, key) for key, figure in figures_of(content)]}
    first, *others = content.metrics
    drawn = [inline(mesh_figure(content, metric), f"{content.key}-{metric}") for metric in (first, others[0])]
    switch = {"names": {metric: METRICS[metric] for metric in content.metrics}, "palette": shades()}
    return section | {"figures": drawn, "switch": switch | {metric: _switched(content, metric) for metric in others}}


def _switched(content: Mesh, metric: str) -> dict[str, Any]:
    """What a script changes in the figure of the mesh: a letter for the shade of each mark, and the scales."""
    found = {}
    for role, marks in (("cores", content.cores), ("links", content.links)):
        most, values = marks.most(metric), marks.values[metric]
        numbers = [-1 if value is None else min(SHADES - 1, int(value / most * SHADES)) for value in values]
        texts = [*scale_ticks(most), content.scale(marks, metric)]
        if not any(number >= 0 for number in numbers):
            texts = ["", "", "", f"{role}: {METRICS[metric]} not known"]
        found[role] = {"shades": "".join(LETTERS[number] for number in numbers), "texts": texts}
    return found


def inline(figure: Any, key: str) -> str:
    """The figure as an element of a page; key: begins its ids, so that no two figures of a page share one."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # an extra, and start-up

    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    artists = [each for axes in figure.axes for each in (axes, *axes.get_children()) if hasattr(each, "titles")]
    named = {f"nsim-{number}": artist for number, artist in enumerate(artists)}
    for name, artist in named.items():
        artist.set_gid(name)
    file = BytesIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})  # savefig would draw everything twice
    text = file.getvalue().decode()
    for pattern, put in TEXTS:
        text = re.sub(pattern, put, text, flags=re.DOTALL)
    root = ElementTree.fromstring(text)
    _name_marks(root, named)
    _own_ids(root, key)
    if figure.get_figwidth() > WIDTH:
        root.set("style", f"min-width: {72 * figure.get_figwidth():.0f}px")  # on a phone it is moved sideways
    return ElementTree.tostring(root, encoding="unicode")


def _name_marks(root: Element, named: dict[str, Any]) -> None:
    """A title in every mark, which browsers show at the pointer; the role of an artist becomes its class."""
    for group in root.iter("g"):
        artist = named.get(group.get("id", ""))
        if artist is None:
            continue
        if artist.role:
            group.set("class", artist.role)
        marks = [each for each in _shapes(group) if each.tag == "use"] or list(_shapes(group))
        for mark, title in zip(marks, artist.titles, strict=bool(artist.titles)):
            SubElement(mark, "title").text = title


def _shapes(group: Element) -> Sequence[Element]:
    """Marks within a group, in their order; shapes that are defined to be used are none."""
    inside = [part for part in group if part.tag != "defs"]
    return [each for part in inside for each in ([part] if part.tag in SHAPES else _shapes(part))]


def _own_ids(root: Element, key: str) -> None:
    """Ids only where something refers to them, each with the key in front."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = dict(zip(dict.fromkeys(re.findall(r'(?:href="#|url\(#)([\w-]+)', text)), count(1)))
    for each in root.iter():
        if (own := each.attrib.pop("id", None)) in used:
            each.set("id", f"{key}-{used[own]}")
        if "href" in each.attrib:
            each.set("href", f"#{key}-{used[each.attrib['href'][1:]]}")
        if "clip-path" in each.attrib:
            each.set("clip-path", f"url(#{key}-{used[each.attrib['clip-path'][5:-1]]})")
