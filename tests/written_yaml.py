"""The YAML that smelt writes, as Python values: block maps and lists, one-line lists, texts plain or as JSON
has them. Nothing else of YAML, so what smelt writes otherwise is an error here."""
import json
import re

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./ ()+-]*$")


def scalar(text):
    if text[0] in '"-0123456789' or text in ("true", "false", "null"):
        return json.loads(text)
    assert WORD.match(text), text
    return text


def line_list(text):
    values, rest = [], text[1:-1]
    while rest:
        value = re.match(r'"(?:\\.|[^"\\])*"|[^,]+', rest).group()
        values.append(scalar(value))
        rest = rest[len(value):].removeprefix(", ")
    return values


def block(lines, depth):
    if lines[0][0] == depth and lines[0][1].startswith("- "):
        items = []
        while lines and lines[0][0] == depth and lines[0][1].startswith("- "):
            lines[0] = (depth + 2, lines[0][1][2:])
            items.append(block(lines, depth + 2))
        return items
    made = {}
    while lines and lines[0][0] == depth and not lines[0][1].startswith("- "):
        key, _, value = lines.pop(0)[1].partition(":")
        assert key not in made, key
        value = value.strip()
        made[key] = block(lines, depth + 2) if not value else line_list(value) if value[0] == "[" else scalar(value)
    return made


def read(text):
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.split("\n")
             if line.strip() and not line.strip().startswith("#")]
    made = block(lines, 0)
    assert not lines, lines[0]
    return made
