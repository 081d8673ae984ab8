"""YAML with places, read as YAML 1.2's core schema: nothing is constructed, no text is evaluated.

PyYAML reads YAML 1.1, where `1e-5` is a text and `no` is false. Here plain words mean what YAML 1.2 says
(yaml.org/spec/1.2.2, section 10.3.2), which is what people mean in a configuration: `learning_rate: 2e-5` is a number
and `strategy: no` a word. Nodes are made from the stream of events, so that depth and size are bounded before anything
grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trainguard.facts.config.json_text import as_number
from trainguard.facts.config.node import MAX_DEPTH, MAX_NODES, Entry, InvalidDocumentError, Node, too_deep

_INT = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*")
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = {"!", *(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
_MERGE = "<<"


def parse_yaml(text: str) -> Node:
    """The document. Raises InvalidDocumentError, with the place, for what is no YAML or asks for more than values."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Composer(yaml.parse(text, Loader=loader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _in_words(text, error.problem or error.context or "", mark) from None
    except yaml.reader.ReaderError as error:
        raise _control_character(text, error) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidDocumentError(str(error).partition("\n")[0], "YAML", "it cannot be read") from None


class _Composer:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, Node | None] = {}
        self._left = MAX_NODES

    def document(self) -> Node:
        import yaml

        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise _at(event, "a second document after ---", "one document", "a run has one configuration")
                root = self._node(next(self._events), 0)
        if root is None:
            raise InvalidDocumentError("nothing", "keys and values", "the file is empty", 1, 1)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        import yaml

        self._left -= 1
        if self._left < 0:
            raise _at(event, f"more than {MAX_NODES:,} values", "a few dozen", "a configuration is short")
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if depth > MAX_DEPTH:
            raise too_deep(line, column)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None and event.tag not in _KNOWN_TAGS:
            tag = event.tag.replace(_TAG, "!!")
            raise _at(event, f"the tag {tag}", "a plain value", "a configuration constructs no objects")
        if event.anchor:
            self._anchors[event.anchor] = None  # until it is complete: an alias inside would refer to itself
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event, line, column)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(value=tuple(self._items(depth)), line=line, column=column)
        else:
            node = Node(value=tuple(self._entries(depth)), is_table=True, line=line, column=column)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _items(self, depth: int) -> Iterator[Node]:
        import yaml

        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> list[Entry]:
        import yaml

        own: list[Entry] = []
        merged: list[Entry] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if key.is_table or key.is_list:
                raise _at(event, "a list or table as a key", "a name", "fields have names")
            if key.plain and key.text == _MERGE:
                merged += _merged(value, event)
            else:
                own.append(Entry(key=key.text, node=value, line=key.line, column=key.column))
        known = {entry.key for entry in own}
        return [*own, *{entry.key: entry for entry in reversed(merged) if entry.key not in known}.values()]

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is not None:
            return node
        because = "it stands inside itself" if event.anchor in self._anchors else f"no &{event.anchor} stands above it"
        raise _at(event, f"*{event.anchor}", "a value", because)


def _merged(value: Node, event: Any) -> list[Entry]:
    tables = [value] if value.is_table else list(value.value) if value.is_list else []
    if not tables or not all(table.is_table for table in tables):
        raise _at(event, "<< of something else than a table", "<<: *name", "tables alone can be merged")
    return [entry for table in tables for entry in table.entries]


def _scalar(event: Any, line: int, column: int) -> Node:
    text: str = event.value
    plain = not event.style and event.tag is None
    if event.tag in (None, "!", _TAG + "str"):
        value = plain_value(text) if plain else text
    else:
        value = plain_value(text)  # !!float 3 and its like: the range of the field has the last word
    return Node(value=value, line=line, column=column, text=text, plain=plain)


def plain_value(text: str) -> str | int | float | bool | None:
    """What a word without quotes means by the core schema of YAML 1.2; a text where it is nothing else."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.fullmatch(text):
        return as_number(text.replace("_", ""), whole=True)
    if _OTHER_INT.fullmatch(text) and len(text) < 100:
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.get(text.lower())
    return float(special) if special is not None else text


def _at(event: Any, got: str, expected: str, because: str) -> InvalidDocumentError:
    mark = event.start_mark
    return InvalidDocumentError(got, expected, because, mark.line + 1, mark.column + 1)


def _in_words(text: str, problem: str, mark: Any) -> InvalidDocumentError:
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    lines = text.split("\n")
    written = lines[line] if line < len(lines) else ""
    rest = written[column:].strip()
    if written[: len(written) - len(written.lstrip())].count("\t"):
        where = written.index("\t") + 1
        return InvalidDocumentError("a tab", "spaces", "YAML is indented with spaces", line + 1, where)
    shown = rest if len(rest) <= 40 else f"{rest[:37]}…"
    because = " ".join(problem.split()) or "it cannot be read"
    return InvalidDocumentError(shown or "the end of the text", "YAML", because, line + 1, column + 1)


def _control_character(text: str, error: Any) -> InvalidDocumentError:
    match = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    if match is None:
        return InvalidDocumentError(str(error).partition("\n")[0], "YAML", "it cannot be read")
    line = text.count("\n", 0, match.start()) + 1
    column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
    return InvalidDocumentError(
        f"the character U+{ord(match[0]):04X}", "text", "YAML allows no control characters", line, column
    )
