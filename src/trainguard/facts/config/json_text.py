"""JSON with places, and with words for what people write that is no JSON.

The reader is strict (RFC 8259) but for NaN and infinity, which Python's json takes too: a field's range refuses them,
and can say which field it is. Comments, trailing commas, single quotes and Python's True and None are told by name, and
reading goes on behind them, so that one comma hides no other problem.
"""

from __future__ import annotations

import re

from trainguard.facts.config.node import MAX_DEPTH, Entry, InvalidDocumentError, Node, too_deep

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?P<fraction>\.\d+)?(?P<exponent>[eE][+-]?\d+)?")
_LITERAL = re.compile(r"[-+]?[A-Za-z_][\w$]*|[-+.]?\d[\w.+-]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_SINGLE = re.compile(r"'((?:[^'\\\n]|\\.)*)'")
_WORDS: dict[str, bool | float | None] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}
_PYTHON: dict[str, tuple[str, bool | None]] = {
    "True": ("true", True),
    "False": ("false", False),
    "None": ("null", None),
}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_MAX_PROBLEMS = 20
# Python refuses longer integers (sys.set_int_max_str_digits, 4,300 by default) and nothing here has 20 digits.
_MAX_DIGITS = 300


def parse_json(text: str) -> tuple[Node, list[InvalidDocumentError]]:
    """The document and what is no JSON in it. Raises InvalidDocumentError where reading cannot go on."""
    parser = _Parser(text)
    node = parser.document()
    return node, parser.problems


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.problems: list[InvalidDocumentError] = []
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> Node:
        self._space()
        if self.at == len(self.text):
            raise self._error("nothing", "a table { … }", "the file is empty")
        node = self._value(0)
        self._space()
        if self.at < len(self.text):
            raise self._error(self._near(), "the end of the file", "a JSON file holds one value")
        return node

    def _value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise too_deep(*self._place(self.at))
        start = self.at
        line, column = self._place(start)
        char = self.text[start : start + 1]
        if char == "{":
            return Node(value=tuple(self._table(depth)), is_table=True, line=line, column=column)
        if char == "[":
            return Node(value=tuple(self._list(depth)), line=line, column=column)
        if char == '"':
            value = self._string()
            return Node(value=value, line=line, column=column, text=self.text[start : self.at])
        return self._bare(line, column)

    def _table(self, depth: int) -> list[Entry]:
        entries: list[Entry] = []
        opened = self.at
        self.at += 1
        while True:
            self._space()
            char = self.text[self.at : self.at + 1]
            if char == "}":
                self.at += 1
                return entries
            place = self._place(self.at)
            key = self._key(opened)
            self._space()
            if self.text[self.at : self.at + 1] != ":":
                raise self._error(
                    self._near(), f'a colon after the key "{key}"', "a key and its value are joined by it"
                )
            self.at += 1
            self._space()
            entries.append(Entry(key=key, node=self._value(depth + 1), line=place[0], column=place[1]))
            if self._next("}", opened):
                return entries

    def _list(self, depth: int) -> list[Node]:
        items: list[Node] = []
        opened = self.at
        self.at += 1
        while True:
            self._space()
            if self.text[self.at : self.at + 1] == "]":
                self.at += 1
                return items
            items.append(self._value(depth + 1))
            if self._next("]", opened):
                return items

    def _next(self, closing: str, opened: int) -> bool:
        """Whether the table or list ends here; else the next part begins behind a comma."""
        self._space()
        char = self.text[self.at : self.at + 1]
        if char == closing:
            self.at += 1
            return True
        if char == ",":
            comma = self.at
            self.at += 1
            self._space()
            if self.text[self.at : self.at + 1] == closing:
                self._note(comma, "a comma before " + closing, "no comma", "JSON has no comma after the last part")
                self.at += 1
                return True
            return False
        if not char:
            raise self._unclosed(opened)
        if char in "\"'" or char.isalnum() or char in "{[-":
            self._note(
                self.at, self._near(), f"a comma or {closing}", "the parts of a table or list are parted by commas"
            )
            return False
        raise self._error(self._near(), f"a comma or {closing}", "the parts of a table or list are parted by commas")

    def _key(self, opened: int) -> str:
        char = self.text[self.at : self.at + 1]
        if char == '"':
            return self._string()
        start = self.at
        if not char:
            raise self._unclosed(opened)
        if char == "'" and (quoted := _SINGLE.match(self.text, start)):
            self.at = quoted.end()
            self._note(start, quoted[0], f'"{quoted[1]}"', "JSON has double quotes only")
            return quoted[1]
        if word := re.compile(r"[A-Za-z_][\w.-]*").match(self.text, start):
            self.at = word.end()
            self._note(start, word[0], f'"{word[0]}"', "JSON has its keys in double quotes")
            return word[0]
        raise self._error(self._near(), 'a key in double quotes or "}"'.replace('"}"', "}"), "a table is made of keys")

    def _string(self) -> str:
        start = self.at
        self.at += 1
        parts: list[str] = []
        while True:
            plain = _PLAIN.match(self.text, self.at)
            assert plain is not None  # the pattern matches the empty text
            parts.append(plain[0])
            self.at = plain.end()
            char = self.text[self.at : self.at + 1]
            if char == '"':
                self.at += 1
                return "".join(parts)
            if char != "\\":
                if char in ("", "\n", "\r"):
                    raise self._error_at(
                        start, _shortened(self.text[start : self.at]), 'a closing "', "a text ends on its line"
                    )
                raise self._error(
                    f"the control character U+{ord(char):04X}", "an escape such as \\t", "RFC 8259, section 7"
                )
            parts.append(self._escape())

    def _escape(self) -> str:
        char = self.text[self.at + 1 : self.at + 2]
        if char in _ESCAPES:
            self.at += 2
            return _ESCAPES[char]
        digits = self.text[self.at + 2 : self.at + 6]
        if char == "u" and re.fullmatch("[0-9A-Fa-f]{4}", digits):
            self.at += 6
            code = int(digits, 16)
            low = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})").match(self.text, self.at)
            if 0xD800 <= code < 0xDC00 and low:
                self.at = low.end()
                return chr(0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00)
            return chr(code)
        raise self._error(
            _shortened(self.text[self.at : self.at + 2]),
            "\\\\ for a backslash, or an escape such as \\n",
            "JSON knows no other escapes",
        )

    def _bare(self, line: int, column: int) -> Node:
        start = self.at
        word = _LITERAL.match(self.text, start)
        written = word[0] if word else ""
        number = _NUMBER.match(self.text, start)
        if number and number.end() == start + len(written):
            self.at = number.end()
            whole = number["fraction"] is None and number["exponent"] is None
            return Node(value=as_number(number[0], whole=whole), line=line, column=column, text=number[0], plain=True)
        if written in _WORDS:
            self.at += len(written)
            return Node(value=_WORDS[written], line=line, column=column, text=written, plain=True)
        if written in _PYTHON:
            self.at += len(written)
            name, value = _PYTHON[written]
            self._note(start, written, name, "that is Python's word, not JSON's")
            return Node(value=value, line=line, column=column, text=name, plain=True)
        if quoted := _SINGLE.match(self.text, start):
            self.at = quoted.end()
            self._note(start, _shortened(quoted[0]), f'"{_shortened(quoted[1])}"', "JSON has double quotes only")
            return Node(value=quoted[1], line=line, column=column, text=quoted[0])
        if not self.text[start:].strip():
            raise self._error("the end of the file", "a value", "the file ends too early; perhaps it was cut short")
        raise self._error(
            self._near(), "a value", "a text stands in double quotes; JSON has numbers, true, false and null"
        )

    def _space(self) -> None:
        while True:
            space = _SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            comment = _COMMENT.match(self.text, self.at)
            if comment is None:
                return
            self._note(self.at, _shortened(comment[0]), "no comment", "JSON has none; TOML and YAML do")
            self.at = comment.end()

    def _note(self, at: int, got: str, expected: str, because: str) -> None:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(InvalidDocumentError(got, expected, because, *self._place(at)))

    def _unclosed(self, opened: int) -> InvalidDocumentError:
        line, column = self._place(opened)
        closing = "}" if self.text[opened] == "{" else "]"
        return self._error(
            "the end of the file",
            closing,
            f"the {self.text[opened]} at {line}:{column} is not closed; was the file cut?",
        )

    def _error(self, got: str, expected: str, because: str) -> InvalidDocumentError:
        return self._error_at(self.at, got, expected, because)

    def _error_at(self, at: int, got: str, expected: str, because: str) -> InvalidDocumentError:
        return InvalidDocumentError(got, expected, because, *self._place(at))

    def _near(self) -> str:
        rest = self.text[self.at : self.at + 200].partition("\n")[0].strip()
        word = _LITERAL.match(rest)
        return _shortened(word[0] if word else rest) or "the end of the line"

    def _place(self, at: int) -> tuple[int, int]:
        import bisect

        line = bisect.bisect_right(self._starts, at)
        return line, at - self._starts[line - 1] + 1


def as_number(written: str, *, whole: bool) -> int | float:
    """The number that a text states; one with hundreds of digits is as good as infinite."""
    if whole and len(written) <= _MAX_DIGITS:
        return int(written)
    return float(written)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}…"
