"""Pages as a browser parses them, and small runs of every kind of chip."""

import json
from html.parser import HTMLParser

OTHERS = {
    "stream": ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=2e4,seconds=0.01"),
    "tick": ("run", "random:p1=0.95,p3=0.1", "--chip", "mosaic", "--activity", "0.1", "--timesteps", "3"),
    "frame": ("run", "cnn", "--chip", "akd1000", "--samples", "2"),
}


class Page(HTMLParser):
    """What stands in a page: attributes that load something, ids, headings, captions, and JSON scripts by id."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.ids, self.tags, self.json = [], [], [], {}
        self._json = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.loads += [value for name, value in given.items() if name in ("src", "href", "data", "action")]
        if "id" in given:
            self.ids.append(given["id"])
        self._json = given.get("id") if given.get("type") == "application/json" else None

    def handle_data(self, data):
        if self._json:
            self.json[self._json] = json.loads(data)
            self._json = None
