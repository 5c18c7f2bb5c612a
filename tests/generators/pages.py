"""Pages as a browser parses them, and small runs of every kind of chip."""

import json
import re
from html.parser import HTMLParser

OTHERS = {
    "stream": ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=2e4,seconds=0.01"),
    "tick": ("run", "random:p1=0.95,p3=0.1", "--chip", "mosaic", "--activity", "0.1", "--timesteps", "3"),
    "frame": ("run", "cnn", "--chip", "akd1000", "--samples", "2"),
}


class Page(HTMLParser):
    """What stands in a page: attributes that load something, ids, tags, JSON scripts by id, and figures by id: what
    a pointer shows at their marks.
    """

    def __init__(self, text):
        super().__init__()
        self.loads, self.ids, self.tags, self.json, self.figures = [], [], [], {}, {}
        self._json = self._figure = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        names = ("src", "href", "xlink:href", "data", "action", "style", "clip-path")
        self.loads += [own for name, own in given.items() if name in names and re.search(r"^[^#]*://|url\((?!#)", own)]
        if "id" in given:
            self.ids.append(given["id"])
        if given.get("id", "").startswith("fig-"):
            self._figure = self.figures.setdefault(given["id"].removeprefix("fig-"), [])
        self._json = given.get("id") if given.get("type") == "application/json" else None

    def handle_data(self, data):
        if self._json:
            self.json[self._json] = json.loads(data)
            self._json = None
        elif self.tags and self.tags[-1] == "title" and self._figure is not None and data.strip():
            self._figure.append(data)
