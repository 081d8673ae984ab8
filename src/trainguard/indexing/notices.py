"""The notices by which a release announces that an argument is going away: in decorators, bodies and help texts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from trainguard.indexing.raw import RawDeprecation
from trainguard.indexing.texts import (
    LONGEST_MESSAGE,
    dotted,
    ends_in_raise,
    literal,
    message_of,
    tells,
    text_of,
    texts_of,
    walk_statements,
)

_GOING = re.compile(r"deprecat|will be removed|(been|was|is|are) (now )?(removed|renamed)", re.IGNORECASE)
_NEW = re.compile(
    r"(?:use|using|favou?r of|replaced (?:by|with)|renamed to|set|pass)\s+(?:the\s+)?(?:argument\s+|parameter\s+)?"
    r"[`'\"](?:--)?([A-Za-z_][\w.]*)(?:=[^`'\"]*)?[`'\"]",
    re.IGNORECASE,
)
_PREFERRED = re.compile(r"use of [`'\"](?:--)?(\w+)[`'\"] is preferred", re.IGNORECASE)
# "will be removed in 🤗 Transformers v5", "removed from version '0.13.0'"; not "deprecated in 4.46".
_REMOVAL = re.compile(
    r"(?:remov(?:ed|al)|not be supported|result in error|until)\b[^.`]{0,48}?(?<![\w.])v?(\d+(?:\.\d+)*)(?![\w-])",
    re.IGNORECASE,
)

# What a notice says to use is at times no argument.
_NO_NAMES = {"None", "True", "False", "self", "kwargs", "args"}


def read_notices(
    body: Sequence[ast.stmt], owner: str | None, keywords: str | None, defaults: Mapping[str, str | None]
) -> list[RawDeprecation]:
    """The arguments that a body announces as going away when they are given.

    `owner` is the name of the instance whose attributes are the arguments (a `__post_init__`), None where they are
    parameters; `keywords` is the name of `**kwargs`; `defaults` are the sources of the defaults, by which a test tells
    that an argument has been given. A value of an argument that is going away is no notice about the argument.
    """
    found: dict[str, RawDeprecation] = {}
    reader = _Notices(owner, keywords, defaults)
    for test, branch in _branches(body):
        notice = reader.read(test, branch)
        if notice is not None:
            found.setdefault(notice["name"], notice)
    return list(found.values())


def _branches(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.expr, list[ast.stmt]]]:
    """The branches of a body that are taken for one test alone. Loops over literals are unrolled."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield statement.test, statement.body
            yield from _branches(statement.orelse)
        elif isinstance(statement, ast.Try | ast.With | ast.AsyncWith):
            yield from _branches(statement.body)
        elif isinstance(statement, ast.For):
            for round_ in _rounds(statement):
                yield from _branches(round_)


def _rounds(loop: ast.For) -> Iterator[list[ast.stmt]]:
    """The bodies of a loop over literals, with the literals in place of the names."""
    targets = list(loop.target.elts) if isinstance(loop.target, ast.Tuple) else [loop.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if len(names) != len(targets) or not isinstance(loop.iter, ast.Tuple | ast.List) or len(loop.iter.elts) > 40:
        return
    for item in loop.iter.elts:
        values = list(item.elts) if isinstance(item, ast.Tuple) and len(names) > 1 else [item]
        if len(values) == len(names) and all(text_of(value) is not None for value in values):
            filled = _Fill(dict(zip(names, values, strict=True)))
            # A copy by way of text: the tree is read by others too.
            copies = [ast.parse(ast.unparse(statement)).body[0] for statement in loop.body]
            yield [statement for copy in copies if isinstance(statement := filled.visit(copy), ast.stmt)]


class _Fill(ast.NodeTransformer):
    """Names replaced by literals; `getattr(self, "x")` and `setattr(self, "x", v)` written out."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._values.get(node.id, node) if isinstance(node.ctx, ast.Load) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if dotted(node.func) == "getattr" and len(node.args) >= 2 and (name := text_of(node.args[1])) is not None:
            return ast.Attribute(node.args[0], name, ast.Load())
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        call = node.value
        if isinstance(call, ast.Call) and dotted(call.func) == "setattr" and len(call.args) == 3:
            name = text_of(call.args[1])
            if name is not None:
                return ast.Assign([ast.Attribute(call.args[0], name, ast.Store())], call.args[2], lineno=0)
        return node


class _Notices:
    def __init__(self, owner: str | None, keywords: str | None, defaults: Mapping[str, str | None]) -> None:
        self._owner = owner
        self._keywords = keywords
        self._defaults = defaults

    def read(self, test: ast.expr, body: Sequence[ast.stmt]) -> RawDeprecation | None:
        messages = [(message, raised) for message, raised in _messages(body) if _GOING.search(message)]
        if not messages:
            return None
        message, raised = messages[0]
        given = [name for name in self._given(test) if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message)]
        if not given:
            return None
        name = min(given, key=message.index)
        new = self._assigned(body, name)
        return notice(name, message, new=new, accepted=not (raised and ends_in_raise(body)))

    def _given(self, test: ast.expr) -> list[str]:
        """The arguments of which a test tells that they have been given."""
        parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
        given = []
        for part in parts:
            name = self._is_given(part)
            if name is not None:
                given.append(name)
            elif not self._is_absence(part):
                return []
        return given

    def _is_given(self, test: ast.expr) -> str | None:
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            left, operator, right = test.left, test.ops[0], test.comparators[0]
            if isinstance(operator, ast.In) and self._keywords and dotted(right) == self._keywords:
                return text_of(left)
            name = self.subject(left)
            if name is None:
                return None
            if isinstance(operator, ast.IsNot | ast.NotEq) and self._is_default(name, ast.unparse(right)):
                return name
            return None
        name = self.subject(test)
        if name is None:
            return None
        # Truth tells that it was given only where the default is false.
        return name if any(self._is_default(name, default) for default in ("None", "False", "''", "0")) else None

    def _is_absence(self, test: ast.expr) -> bool:
        """`new is None`, `not new`: the new spelling has not been given."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self.subject(test.operand) is not None
        return isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Is | ast.NotIn)

    def _is_default(self, name: str, source: str) -> bool:
        """Whether a parameter has this default; what is taken from `**kwargs` has that of the `pop`."""
        return self._defaults[name] == source if name in self._defaults else source == "None"

    def subject(self, node: ast.expr) -> str | None:
        """The argument that an expression stands for."""
        if isinstance(node, ast.NamedExpr):
            node = node.value
        if self._owner is not None and isinstance(node, ast.Attribute) and dotted(node.value) == self._owner:
            return node.attr
        if isinstance(node, ast.Name) and node.id in self._defaults and (self._owner is None or self._keywords):
            return node.id
        if self._keywords and isinstance(node, ast.Call) and node.args:
            if dotted(node.func) in {f"{self._keywords}.pop", f"{self._keywords}.get"}:
                return text_of(node.args[0])
            return None
        if self._keywords and isinstance(node, ast.Subscript) and dotted(node.value) == self._keywords:
            return text_of(node.slice)
        return None

    def _assigned(self, body: Sequence[ast.stmt], name: str) -> str:
        """The argument to which a branch hands the old one's value as it is."""
        for inner in walk_statements(body):
            if isinstance(inner, ast.Assign) and len(inner.targets) == 1 and self.subject(inner.value) == name:
                new = self.subject(inner.targets[0])
                if new is not None and new != name:
                    return new
        return ""


def _messages(body: Sequence[ast.stmt]) -> Iterator[tuple[str, bool]]:
    """The texts that a branch warns or raises with, and whether it raises."""
    for inner in walk_statements(body):
        if isinstance(inner, ast.Raise) and isinstance(inner.exc, ast.Call) and inner.exc.args:
            yield message_of(inner.exc.args[0]), True
        elif (call := tells(inner)) is not None:
            parts = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg == "message"]
            if parts:
                yield message_of(parts[0]), False


def notice(name: str, message: str, *, new: str = "", accepted: bool = True) -> RawDeprecation:
    """A notice from its text; `new` where the code shows to which argument the value goes."""
    clean = " ".join(message.split())
    deprecation: RawDeprecation = {"name": name, "message": clean[:LONGEST_MESSAGE]}
    named = new or _named(clean, name)
    if named:
        deprecation["new"] = named
    if new:
        deprecation["same"] = True
    if not accepted:
        deprecation["accepted"] = False
    if (removal := removal_of(clean)) != "":
        deprecation["removal"] = removal
    return deprecation


def _named(message: str, name: str) -> str:
    for pattern in (_PREFERRED, _NEW):
        for match in pattern.finditer(message):
            new = match[1]
            if new.isidentifier() and new != name and new not in _NO_NAMES and not new[0].isupper():
                return new
    return ""


def removal_of(message: str) -> str:
    """The release in which a text says that something goes: `0.20.0`, `5`."""
    match = _REMOVAL.search(message)
    return match[1] if match else ""


def notice_of_help(name: str, text: str) -> RawDeprecation | None:
    """A field's help text that begins by saying that it is deprecated."""
    start = text.strip().lstrip("([`*'\"").lower()
    if not start.startswith(("deprecated", "this argument is deprecated", "this parameter is deprecated")):
        return None
    # "Deprecated values": a value is going away, not the field.
    return None if start.startswith(("deprecated value", "deprecated option")) else notice(name, text)


def read_decorator(node: ast.expr) -> list[RawDeprecation]:
    """The notices that a decorator stands for.

    `deprecate_kwarg`: transformers/utils/deprecation.py (since 4.45). `_deprecate_arguments`, `_deprecate_method`:
    huggingface_hub/utils/_deprecation.py. `deprecated`: datasets/utils/deprecation_utils.py, warnings (Python 3.13).
    """
    name = (dotted(node.func if isinstance(node, ast.Call) else node) or "").rpartition(".")[2]
    if not isinstance(node, ast.Call):
        return [{"name": ""}] if name == "deprecated" else []
    options = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    version = text_of(options.get("version")) or ""
    if name == "deprecate_kwarg":
        return _deprecate_kwarg(node, options)
    if name == "_deprecate_arguments":
        message = message_of(options.get("custom_message"))[:LONGEST_MESSAGE]
        old = texts_of(options.get("deprecated_args")) or []
        return [_compact({"name": one, "removal": version, "message": message}) for one in old]
    if name in {"_deprecate_method", "deprecated"}:
        text = options.get("message") or options.get("help_message") or (node.args[0] if node.args else None)
        message = " ".join(message_of(text).split())[:LONGEST_MESSAGE]
        return [_compact({"name": "", "removal": version or removal_of(message), "message": message})]
    return []


def _deprecate_kwarg(node: ast.Call, options: Mapping[str, ast.expr]) -> list[RawDeprecation]:
    old = text_of(options.get("old_name") or (node.args[0] if node.args else None))
    version = text_of(options.get("version") or (node.args[1] if len(node.args) > 1 else None)) or ""
    new = text_of(options.get("new_name") or (node.args[2] if len(node.args) > 2 else None)) or ""
    if old is None:
        return []
    raises = literal(options.get("raise_if_greater_or_equal_version"))[1] is True
    message = message_of(options.get("additional_message"))[:LONGEST_MESSAGE]
    return [
        _compact({"name": old, "new": new, "same": bool(new), "removal": version, "raises": raises, "message": message})
    ]


def _compact(deprecation: RawDeprecation) -> RawDeprecation:
    for key in ("new", "same", "removal", "raises", "message"):
        if not deprecation.get(key):
            deprecation.pop(key, None)  # type: ignore[misc]
    return deprecation
