"""Imports of names that moved to another module, or have another name there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import libcst as cst
from libcst.helpers import get_full_name_for_node

from trainguard.findings import Edit
from trainguard.fixing.changes import Action, CannotFixError, MoveImport, Region, Replace
from trainguard.fixing.removal import Element, without
from trainguard.fixing.tree import Tree

_Statement = cst.Import | cst.ImportFrom


def move_import(edit: Edit, tree: Tree) -> Action:
    """The action for `old.module.Name` -> `new.module.Other`. Raises CannotFixError where there is none."""
    if not all(part.isidentifier() for part in [*edit.old.split("."), *edit.new.split(".")]):
        raise CannotFixError(f"{edit.new!r} is no name that can be imported")
    found = {action for statement in tree.of_type(cst.ImportFrom) for action in _from(edit, tree, statement)}
    found |= {action for statement in tree.of_type(cst.Import) for action in _plain(edit, tree, statement)}
    if len(found) != 1:
        raise CannotFixError(f"{edit.old!r} is not imported there" if not found else f"{edit.old!r} is there twice")
    return found.pop()


def _from(edit: Edit, tree: Tree, statement: cst.ImportFrom) -> Iterator[Action]:
    if isinstance(statement.names, cst.ImportStar) or statement.relative or statement.module is None:
        return
    module, _, name = edit.old.rpartition(".")
    new_module, _, new_name = edit.new.rpartition(".")
    if get_full_name_for_node(statement.module) != module:
        return
    for index, alias in enumerate(statement.names):
        if get_full_name_for_node(alias.name) != name or not _is_here(edit, tree, alias, statement):
            continue
        if not new_module:
            raise CannotFixError(f"{edit.new!r} names no module")
        start, end = tree.span(alias)
        if new_module == module:
            yield Replace(start=start, end=end, new=_imported(tree, alias, new_name))
        else:
            owner = tree.span(statement)[0]
            yield MoveImport(start=start, end=end, owner=owner, index=index, module=new_module, name=new_name)


def _plain(edit: Edit, tree: Tree, statement: cst.Import) -> Iterator[Action]:
    """`import old as name`; without a name of its own the uses would break."""
    for alias in statement.names:
        if get_full_name_for_node(alias.name) == edit.old and _is_here(edit, tree, alias, statement):
            if alias.asname is None:
                raise CannotFixError(f"`import {edit.old}` binds the module's own name, which the script uses")
            start, end = tree.span(alias.name)
            yield Replace(start=start, end=end, new=edit.new)


def _is_here(edit: Edit, tree: Tree, alias: cst.ImportAlias, statement: _Statement) -> bool:
    """Whether the edit is about this name: at it, or at the statement."""
    line, column = edit.where.line, edit.where.column
    if line is None:
        return False
    start, end = tree.span(statement)
    if column is not None:
        return tree.offset(line, column) in (tree.span(alias)[0], start)
    return start <= tree.offset(line, 1) + len(_indentation(tree.text, tree.offset(line, 1))) < end


def _imported(tree: Tree, alias: cst.ImportAlias, name: str) -> str:
    """`name`, bound to what the script calls it."""
    if alias.asname is not None:
        return f"{name} as {tree.written(alias.asname.name)}"
    old = tree.written(alias.name)
    return name if name == old else f"{name} as {old}"


def regions_of_moves(tree: Tree, moves: Sequence[MoveImport]) -> Iterator[Region]:
    """What the moves out of one statement come to: a statement for each new module, behind what is left."""
    statement = next(s for s in tree.of_type(cst.ImportFrom) if tree.span(s)[0] == moves[0].owner)
    line = tree.parents[statement]
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) > 1:
        raise CannotFixError("the import shares its line with other statements")
    names = list(statement.names) if not isinstance(statement.names, cst.ImportStar) else []
    by_module: dict[str, list[str]] = {}
    for move in sorted(moves, key=lambda move: move.index):
        by_module.setdefault(move.module, []).append(_imported(tree, names[move.index], move.name))
    start, end = tree.span(statement)
    indentation = _indentation(tree.text, tree.text.rfind("\n", 0, start) + 1)
    written = f"\n{indentation}".join(f"from {module} import {', '.join(new)}" for module, new in by_module.items())
    if len(moves) == len(names):
        if "#" in tree.text[start:end]:
            raise CannotFixError("the import has comments between its names")
        yield Region(start=start, end=end, new=written)
        return
    elements = [Element(start=tree.span(n)[0], end=tree.span(n)[1], comma=tree.comma_end(n.comma)) for n in names]
    yield from without(tree.text, elements, {move.index for move in moves}, bracketed=statement.lpar is not None)
    after = tree.text.find("\n", end)
    after = len(tree.text) if after < 0 else after
    yield Region(start=after, end=after, new=f"\n{indentation}{written}")


def _indentation(text: str, start: int) -> str:
    rest = text[start:]
    return rest[: len(rest) - len(rest.lstrip(" \t"))]
