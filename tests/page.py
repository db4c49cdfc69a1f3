"""A page of HTML as a tree, for tests of `--html`."""
import html.parser

VOID = {"meta", "rect", "line", "br"}


class Page(html.parser.HTMLParser):
    """The elements of a page as a tree: (tag, attributes, children and texts). Each is closed by its own end."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.root = ("root", {}, [])
        self.open = [self.root]
        self.feed(text)
        self.close()
        assert self.open == [self.root]

    def handle_starttag(self, tag, attrs):
        element = (tag, dict(attrs), [])
        self.open[-1][2].append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1][2].append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.open[-1][2].append(data)


def all_of(element, tag, **attributes):
    """All elements below with that tag, and those words among the attributes (kind: the class)."""
    found = []
    for child in element[2]:
        if isinstance(child, tuple):
            words = {key: child[1].get("class" if key == "kind" else key, "").split() for key in attributes}
            if child[0] == tag and all(value in words[key] for key, value in attributes.items()):
                found.append(child)
            found += all_of(child, tag, **attributes)
    return found


def text_of(element):
    return "".join(child if isinstance(child, str) else text_of(child) for child in element[2])


def cells(table):
    return [[text_of(cell) for cell in row[2] if isinstance(cell, tuple)] for row in all_of(table, "tr")]
