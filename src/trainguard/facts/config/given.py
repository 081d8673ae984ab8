"""What a configuration, the environment and the flags state, field by field, before it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import inspect

from trainguard.facts.config import trainer_arguments
from trainguard.facts.config.aliases import ALIASES, COMMENTS, SYNONYMS, UNUSED, Alias
from trainguard.facts.config.fields import Field, blocks, fields
from trainguard.facts.config.json_text import parse_json
from trainguard.facts.config.judging import nearest, shown_node
from trainguard.facts.config.node import MAX_PROBLEMS, Entry, InvalidDocumentError, Node, from_python
from trainguard.facts.config.records import ConfigProblem, Origin
from trainguard.facts.config.yaml_text import plain_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One value for one field. `key` is what the user wrote, `weak` that it counts only where nothing else does."""

    name: str
    key: str
    node: Node
    origin: Origin
    source: str | None = None
    weak: bool = False
    alias: Alias | None = None


@dataclass(slots=True)
class Statements:
    """Everything given, by field, and the problems of keys."""

    by_field: dict[str, list[Given]] = field(default_factory=dict)
    problems: list[ConfigProblem] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def add(self, given: Given) -> None:
        self.by_field.setdefault(given.name, []).append(given)

    def read_file(self, root: Node) -> None:
        """Takes in the table of a file."""
        self._table(root, "")

    def _table(self, table: Node, prefix: str) -> None:
        seen: dict[str, Entry] = {}
        for entry in table.entries:
            if entry.key in seen and not _same(seen[entry.key].node, entry.node):
                self.problems.append(_twice(prefix + entry.key, seen[entry.key], entry))
            seen[entry.key] = entry
        for entry in seen.values():
            self._entry(entry, prefix)

    def _entry(self, entry: Entry, prefix: str) -> None:
        path = prefix + entry.key
        if entry.key.startswith(COMMENTS):
            return
        if path in fields():
            self.add(Given(name=path, key=path, node=_placed(entry), origin="file"))
        elif path in ALIASES:
            alias = ALIASES[path]
            self.add(Given(name=alias.name, key=path, node=_placed(entry), origin="file", weak=alias.weak, alias=alias))
        elif not prefix and path in blocks():
            self._block(entry)
        elif not prefix and path in UNUSED:
            self.unused.append(path)
        else:
            self._unknown(entry, prefix)

    def _block(self, entry: Entry) -> None:
        node = _placed(entry)
        if node.is_table:
            self._table(node, f"{entry.key}.")
        elif node.value is not None:  # a block of which every line is a comment is null in YAML
            example = next(name for name in fields() if name.startswith(f"{entry.key}."))
            self.problems.append(
                ConfigProblem(
                    kind="out-of-range",
                    field=entry.key,
                    key=entry.key,
                    got=shown_node(node),
                    expected=f"a table with keys such as {example.partition('.')[2]}",
                    because="it has several fields",
                    line=node.line,
                    column=node.column,
                )
            )

    def _unknown(self, entry: Entry, prefix: str, *, origin: Origin = "file", source: str | None = None) -> None:
        hint = None
        if len(self.problems) < MAX_PROBLEMS:  # looking for what is meant takes a millisecond a key
            hint = suggested(entry.key, prefix) or (_trainers(entry.key) if not prefix else None)
        self.problems.append(_unknown(entry, prefix, hint, origin, source))

    def read_environment(self, environment: Mapping[str, str]) -> None:
        """Takes in the variables that name a field. One that is empty says nothing, as NO_COLOR and its like."""
        for each in fields().values():
            if text := environment.get(each.environment):
                node = node_of_text(each, text)
                self.add(Given(name=each.name, key=each.name, node=node, origin="environment", source=each.environment))

    def read_flags(self, flags: Mapping[str, object]) -> None:
        """Takes in flags: dotted names or other spellings, each with a value or its text."""
        for key, value in flags.items():
            alias = ALIASES.get(key)
            name = alias.name if alias is not None else key
            known = fields().get(name)
            if known is None:
                self._unknown(Entry(key=key, node=Node(value=None)), "", origin="flag", source="--set")
                continue
            switch = alias is not None and alias.flag is not None
            if isinstance(value, str):
                node = Node(value=plain_value(value), text=value, plain=True) if switch else node_of_text(known, value)
            else:
                node = _from_python(value)
            self.add(Given(name=name, key=key, node=node, origin="flag", source="--set", alias=alias))


def _from_python(value: object) -> Node:
    try:
        return from_python(value)
    except InvalidDocumentError:
        return Node(value=str(type(value).__name__))


def node_of_text(known: Field, text: str) -> Node:
    """The value that a variable or a flag states: lists by commas or as JSON, tables as JSON, else a word."""
    kinds = known.alternatives
    if text[:1] in "[{" and any(isinstance(kind, inspect.ListType | inspect.DictType) for kind in kinds):
        try:
            return _placeless(parse_json(text)[0])
        except InvalidDocumentError:
            return Node(value=text, text=text, plain=True)
    if any(isinstance(kind, inspect.StrType | inspect.LiteralType) for kind in kinds):
        return Node(value=None if known.nullable and text == "null" else text, text=text)
    if any(isinstance(kind, inspect.ListType) for kind in kinds):
        return Node(value=tuple(Node(value=part.strip(), text=part.strip()) for part in text.split(",")))
    if any(isinstance(kind, inspect.BoolType) for kind in kinds) and text in ("0", "1"):
        return Node(value=text == "1", text=text, plain=True)
    return Node(value=plain_value(text.strip()), text=text.strip(), plain=True)


def _placeless(node: Node) -> Node:
    if node.is_table:
        entries = tuple(Entry(key=entry.key, node=_placeless(entry.node)) for entry in node.entries)
        return Node(value=entries, is_table=True)
    if node.is_list:
        return Node(value=tuple(_placeless(item) for item in node.value))
    return Node(value=node.value, text=node.text, plain=node.plain)


def _placed(entry: Entry) -> Node:
    """The value with a place; that of its key where it has none of its own, as a table has by a dotted key."""
    node = entry.node
    if node.line is not None or entry.line is None:
        return node
    return Node(
        value=node.value, is_table=node.is_table, line=entry.line, column=entry.column, text=node.text, plain=node.plain
    )


def _same(a: Node, b: Node) -> bool:
    if a.is_table or b.is_table or a.is_list or b.is_list:
        return a == b
    return type(a.value) is type(b.value) and a.value == b.value


def _twice(path: str, first: Entry, second: Entry) -> ConfigProblem:
    where = f" at {first.line}:{first.column}" if first.line is not None else ""
    return ConfigProblem(
        kind="invalid",
        field=path,
        key=path,
        got="the key a second time with another value",
        expected="each key once",
        because=f"it stands{where} already, and only one of the two can count",
        line=second.line,
        column=second.column,
    )


def _unknown(entry: Entry, prefix: str, suggestion: str | None, origin: Origin, source: str | None) -> ConfigProblem:
    if suggestion is not None:
        expected = suggestion if suggestion in fields() or not prefix else f"{prefix}{suggestion}"
    elif prefix:
        expected = f"one of {', '.join(name[len(prefix) :] for name in fields() if name.startswith(prefix))}"
    else:
        expected = "a field (`trainguard config schema` lists them)"
    return ConfigProblem(
        kind="unknown-key",
        key=prefix + entry.key,
        got="a key that is no field",
        expected=expected,
        because="nothing reads it, and what it was meant to set keeps its default",
        line=entry.line,
        column=entry.column,
        origin=origin,
        source=source,
        suggestion=expected if suggestion is not None else None,
    )


def suggested(key: str, prefix: str = "") -> str | None:
    """The field that a key perhaps means; inside a block its name there."""
    word = _snake(key)
    synonym = SYNONYMS.get(word)
    if synonym is not None and synonym.startswith(prefix):
        return synonym[len(prefix) :]
    own = {name[len(prefix) :]: name[len(prefix) :] for name in _names() if name.startswith(prefix)}
    elsewhere = {name.rpartition(".")[2]: name for name in fields()}
    for names in (own, {name: name for name in _names()}, elsewhere):
        if word in names:
            return names[word]
    close = nearest(word, own)
    return own[close] if close is not None else None


def _names() -> Iterator[str]:
    yield from fields()
    yield from ALIASES
    yield from blocks()


def _snake(key: str) -> str:
    text = "".join(f"_{char.lower()}" if char.isupper() and index else char.lower() for index, char in enumerate(key))
    return text.replace("-", "_").replace("__", "_")[:100]


def _trainers(key: str) -> str | None:
    """Where an argument of SFTConfig goes that is no field of its own."""
    return f"trainer_arguments.{key}" if key in trainer_arguments.names() else None
