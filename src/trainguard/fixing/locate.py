"""From an edit, which names a place by what stands there, to the action on the text."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator, Sequence

import libcst as cst

from trainguard.findings import Edit
from trainguard.fixing.changes import Action, CannotFixError, Remove, Replace
from trainguard.fixing.imports import move_import
from trainguard.fixing.tree import Tree

# A candidate: whether `where` is exactly the name that changes, and what to do there.
_Candidate = tuple[bool, Action]

# What may be written between the quotes of any string, whatever its prefix.
_PLAIN_TEXT = re.compile(r"[\w .,:;/+*@=<>~^|&!?()\[\]-]*")


def locate(edit: Edit, tree: Tree) -> Action:
    """The one action that `edit` means. Raises CannotFixError where there is none, or several."""
    if edit.kind == "rename-import":
        return move_import(edit, tree)
    if edit.kind == "replace-literal":
        found = list(_literals(edit, tree))
    elif edit.kind == "rename-attribute":
        _refuse_no_name(*edit.new.split("."))
        found = list(_attributes(edit, tree))
    else:
        if edit.kind == "rename-argument":
            _refuse_no_name(edit.new)
        found = [*_keywords(edit, tree), *_entries(edit, tree), *_stores(edit, tree)]
    actions = {action for exact, action in found if exact} or {action for _, action in found}
    if not actions:
        raise CannotFixError(f"{edit.old!r} does not stand there")
    if len(actions) > 1:
        raise CannotFixError(f"{edit.old!r} stands there more than once")
    return actions.pop()


def _keywords(edit: Edit, tree: Tree) -> Iterator[_Candidate]:
    for call in tree.of_type(cst.Call):
        for index, argument in enumerate(call.args):
            if argument.keyword is None or argument.keyword.value != edit.old:
                continue
            start, end = tree.span(argument.keyword)
            exact = _at(edit, tree, argument.keyword) or _starts(edit, tree, start, tree.span(argument)[1])
            if exact or _at(edit, tree, argument.value) or _at(edit, tree, call.func) or _at(edit, tree, call):
                owner = tree.span(call.func)[1]
                if edit.kind == "remove-argument":
                    yield exact, Remove(start=start, end=tree.span(argument)[1], owner=owner, index=index)
                    continue
                if any(other.keyword is not None and other.keyword.value == edit.new for other in call.args):
                    raise CannotFixError(f"the call has an argument {edit.new!r} already")
                yield exact, Replace(start=start, end=end, new=edit.new, claim=(owner, edit.new))


def _entries(edit: Edit, tree: Tree) -> Iterator[_Candidate]:
    for table in tree.of_type(cst.Dict):
        for index, entry in enumerate(table.elements):
            if not isinstance(entry, cst.DictElement) or _plain_string(entry.key) != edit.old:
                continue
            exact = _at(edit, tree, entry.key)
            if exact or _at(edit, tree, entry.value) or _at(edit, tree, table):
                owner = tree.span(table)[0]
                if edit.kind == "remove-argument":
                    start, end = tree.span(entry)
                    yield exact, Remove(start=start, end=end, owner=owner, index=index)
                    continue
                keys = [each.key for each in table.elements if isinstance(each, cst.DictElement)]
                if any(_plain_string(key) == edit.new for key in keys):
                    raise CannotFixError(f"the dict has a key {edit.new!r} already")
                yield exact, _new_string(tree, entry.key, edit.new, claim=(owner, edit.new))


def _stores(edit: Edit, tree: Tree) -> Iterator[_Candidate]:
    """`kwargs["old"] = value`."""
    for statement in tree.of_type(cst.Assign):
        for target in (each.target for each in statement.targets):
            if not isinstance(target, cst.Subscript) or len(target.slice) != 1:
                continue
            index = target.slice[0].slice
            if not isinstance(index, cst.Index) or _plain_string(index.value) != edit.old:
                continue
            exact = _at(edit, tree, index.value)
            if exact or any(_at(edit, tree, node) for node in (statement.value, target, statement)):
                if edit.kind == "remove-argument":
                    raise CannotFixError(f"{edit.old!r} is stored by a statement of its own")
                yield exact, _new_string(tree, index.value, edit.new)


def _attributes(edit: Edit, tree: Tree) -> Iterator[_Candidate]:
    for node in tree.of_type(cst.Attribute):
        if node.attr.value == edit.old:
            exact = _at(edit, tree, node.attr)
            if exact or _at(edit, tree, node):
                start, end = tree.span(node.attr)
                yield exact, Replace(start=start, end=end, new=edit.new)


def _literals(edit: Edit, tree: Tree) -> Iterator[_Candidate]:
    for node in tree.nodes:
        if isinstance(node, cst.SimpleString) and _plain_string(node) == edit.old and _at(edit, tree, node):
            yield True, _new_string(tree, node, edit.new)
        elif (
            isinstance(node, cst.Integer | cst.Float | cst.Name | cst.UnaryOperation)
            and _at(edit, tree, node)
            and tree.written(node) == edit.old
            and _is_literal(edit.old)
            and _is_literal(edit.new)
        ):
            start, end = tree.span(node)
            yield True, Replace(start=start, end=end, new=edit.new)


# -- places ------------------------------------------------------------------------------


def _at(edit: Edit, tree: Tree, node: cst.CSTNode) -> bool:
    """Whether `edit.where` is where a node stands, with or without the parentheses around it."""
    start, end = tree.span(node)
    opening: Sequence[cst.CSTNode] = getattr(node, "lpar", ())
    if _starts(edit, tree, start, end):
        return True
    return bool(opening) and _starts(edit, tree, tree.span(opening[0])[0], _outer_end(tree, node))


def _outer_end(tree: Tree, node: cst.CSTNode) -> int:
    closing: Sequence[cst.CSTNode] = getattr(node, "rpar", ())
    return tree.span(closing[-1])[1] if closing else tree.span(node)[1]


def _starts(edit: Edit, tree: Tree, start: int, end: int) -> bool:
    where = edit.where
    if where.line is None or where.column is None or tree.offset(where.line, where.column) != start:
        return False
    if where.end_line is None or where.end_column is None:
        return True
    return tree.offset(where.end_line, where.end_column) == end


# -- texts -------------------------------------------------------------------------------


def _plain_string(node: cst.CSTNode) -> str | None:
    """What stands between the quotes of a string that says what it means: no bytes, no escapes."""
    if not isinstance(node, cst.SimpleString) or "b" in node.prefix.lower():
        return None
    return node.raw_value if "\\" not in node.raw_value else None


def _new_string(tree: Tree, node: cst.CSTNode, new: str, claim: tuple[int, str] | None = None) -> Replace:
    if not isinstance(node, cst.SimpleString) or not _PLAIN_TEXT.fullmatch(new):
        raise CannotFixError(f"{new!r} cannot be written in the string's place")
    start, end = tree.span(node)
    quote = node.quote
    return Replace(start=start, end=end, new=f"{node.prefix}{quote}{new}{quote}", claim=claim)


def _is_literal(text: str) -> bool:
    try:
        return isinstance(ast.literal_eval(text), int | float | None) and "\n" not in text
    except (ValueError, SyntaxError):
        return False


def _refuse_no_name(*names: str) -> None:
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise CannotFixError(f"{name!r} is no name")
