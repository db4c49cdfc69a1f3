"""What a line of the viewing log means, written a second time and as simply as possible: the
reference for the manifest of the generator and for the program.

judge(raw) gives a Verdict: kind "kept", "refused" or "blank"; for a kept line its eight values and
the paths of its unknown keys, for a refused one its reason and column.

It reads one character at a time from left to right, so that of several faults the first one is
reported."""
import dataclasses
import decimal
import re

MAX_LINE_BYTES = 16_777_216
MAX_DEPTH = 128
TOP = {"_index": "Index", "_type": "Type", "_id": "Id", "_score": "Score", "_source": None}
INSIDE = {"AppName": "AppName", "Contract": "Contract", "Mac": "Mac",
          "TotalDuration": "TotalDuration"}
ORDER = ["Index", "Type", "Id", "Score", "AppName", "Contract", "Mac", "TotalDuration"]
LONGS = {"Score", "TotalDuration"}
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclasses.dataclass
class Verdict:
    kind: str
    reason: str | None = None
    column: str | None = None
    values: dict | None = None
    unknown: tuple = ()


class Refused(Exception):
    def __init__(self, reason, column=None):
        super().__init__(reason)
        self.reason, self.column = reason, column


@dataclasses.dataclass
class Token:
    """A number, true or false as it is spelt."""
    text: str
    is_number: bool


class Parser:
    def __init__(self, text):
        self.text, self.at = text, 0

    def space(self):
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1

    def peek(self):
        return self.text[self.at] if self.at < len(self.text) else ""

    def expect(self, mark):
        if self.peek() != mark:
            raise Refused("syntax")
        self.at += 1

    def document(self):
        self.space()
        value = self.value(1)
        self.space()
        if self.at != len(self.text):
            raise Refused("syntax")
        return value

    def value(self, depth):
        mark = self.peek()
        if mark in ("{", "["):
            if depth > MAX_DEPTH:
                raise Refused("too_deep")
            self.at += 1
            return self.object(depth) if mark == "{" else self.array(depth)
        if mark == '"':
            return self.string()
        for word in ("true", "false", "null"):
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return None if word == "null" else Token(word, False)
        number = NUMBER.match(self.text, self.at)
        if not number:
            raise Refused("syntax")
        self.at = number.end()
        return Token(number.group(), True)

    def object(self, depth):
        members = {}
        self.space()
        if self.peek() == "}":
            self.at += 1
            return members
        while True:
            self.space()
            key = self.string()
            self.space()
            self.expect(":")
            self.space()
            members[key] = self.value(depth + 1)
            self.space()
            if self.peek() != ",":
                self.expect("}")
                return members
            self.at += 1

    def array(self, depth):
        items = []
        self.space()
        if self.peek() == "]":
            self.at += 1
            return items
        while True:
            self.space()
            items.append(self.value(depth + 1))
            self.space()
            if self.peek() != ",":
                self.expect("]")
                return items
            self.at += 1

    def hex4(self, at):
        digits = self.text[at:at + 4]
        return int(digits, 16) if re.fullmatch("[0-9a-fA-F]{4}", digits) else None

    def escape(self):
        """The character of an escape; self.at is at its backslash."""
        mark = self.text[self.at + 1:self.at + 2]
        if mark in ESCAPES and mark:
            self.at += 2
            return ESCAPES[mark]
        code = self.hex4(self.at + 2) if mark == "u" else None
        if code is None:
            raise Refused("syntax")
        if 0xD800 <= code < 0xDC00:
            low = None
            if self.text[self.at + 6:self.at + 8] == "\\u":
                low = self.hex4(self.at + 8)
            if low is None or not 0xDC00 <= low < 0xE000:
                raise Refused("lone_surrogate")
            self.at += 12
            return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
        if 0xDC00 <= code < 0xE000:
            raise Refused("lone_surrogate")
        self.at += 6
        return chr(code)

    def string(self):
        self.expect('"')
        parts = []
        while True:
            plain = PLAIN.match(self.text, self.at)
            if plain:
                parts.append(plain.group())
                self.at = plain.end()
            if self.peek() == '"':
                self.at += 1
                return "".join(parts)
            if self.peek() != "\\":
                raise Refused("syntax")  # a control character, or the line's end
            parts.append(self.escape())


def as_string(value, column):
    if isinstance(value, (dict, list)):
        raise Refused("type_mismatch", column)
    return value.text if isinstance(value, Token) else value


def as_long(value, column):
    if value is None:
        return None
    if isinstance(value, str) and INTEGER.fullmatch(value):
        number = int(value)
    elif isinstance(value, Token) and value.is_number:
        exact = decimal.Decimal(value.text)
        if exact and exact.adjusted() > 30:
            raise Refused("out_of_range", column)
        if exact != exact.to_integral_value():
            raise Refused("type_mismatch", column)
        number = int(exact)
    else:
        raise Refused("type_mismatch", column)
    if not -2**63 <= number < 2**63:
        raise Refused("out_of_range", column)
    return number


def judge(raw):
    if not raw.strip(b" \t\r"):
        return Verdict("blank")
    try:
        if len(raw) > MAX_LINE_BYTES:
            raise Refused("too_long")
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("invalid_utf8") from None
        line = Parser(text).document()
        if not isinstance(line, dict):
            raise Refused("not_object")
        found = {column: line.get(key) for key, column in TOP.items() if column}
        source = line.get("_source")
        unknown = [key for key in line if key not in TOP]
        if isinstance(source, dict):
            found.update({column: source.get(key) for key, column in INSIDE.items()})
            unknown += [f"_source.{key}" for key in source if key not in INSIDE]
        elif source is not None:
            found["AppName"] = []  # refused, as of that column
        values = {}
        for column in ORDER:
            read = as_long if column in LONGS else as_string
            values[column] = read(found.get(column), column)
        return Verdict("kept", values=values, unknown=tuple(unknown))
    except Refused as fault:
        return Verdict("refused", fault.reason, fault.column)
