"""Edits of one file: where they are, what they come to together, and the proof that nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import libcst as cst

from trainguard.findings import Edit
from trainguard.fixing.changes import (
    Action,
    CannotFixError,
    Changes,
    MoveImport,
    Region,
    Remove,
    Replace,
    merged,
    spliced,
)
from trainguard.fixing.document import Document
from trainguard.fixing.imports import regions_of_moves
from trainguard.fixing.locate import locate
from trainguard.fixing.removal import Element, without
from trainguard.fixing.tree import Tree
from trainguard.fixing.verify import verify


class Editor:
    """The texts of a document as trees; a notebook's cells each on its own."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._trees: dict[int | None, Tree | CannotFixError] = {}

    def action(self, edit: Edit) -> tuple[int | None, Action]:
        """The cell and the action of an edit. Raises CannotFixError."""
        cell = edit.where.cell
        return cell, locate(edit, self._tree(cell))

    def result(self, actions: Iterable[tuple[int | None, Action]]) -> tuple[Changes, bytes]:
        """What the actions change by cell, and the new content of the file, verified. Raises CannotFixError."""
        by_cell: dict[int | None, list[Action]] = {}
        for cell, action in dict.fromkeys(actions):
            by_cell.setdefault(cell, []).append(action)
        changes = {cell: merged(_regions(self._tree(cell), found)) for cell, found in by_cell.items()}
        for cell, regions in changes.items():
            before = self._document.texts[cell]
            verify(before, spliced(before, regions), regions)
        return changes, self._document.edited(changes)

    def _tree(self, cell: int | None) -> Tree:
        if cell not in self._document.texts:
            raise CannotFixError(f"the file has no code cell {cell}")
        if cell not in self._trees:
            try:
                self._trees[cell] = Tree(self._document.texts[cell])
            except CannotFixError as error:
                self._trees[cell] = error
        tree = self._trees[cell]
        if isinstance(tree, CannotFixError):
            raise CannotFixError(str(tree))
        return tree


def _regions(tree: Tree, actions: Iterable[Action]) -> Iterator[Region]:
    removed: dict[int, set[int]] = {}
    moves: dict[int, list[MoveImport]] = {}
    for action in actions:
        if isinstance(action, Replace):
            yield Region(start=action.start, end=action.end, new=action.new)
        elif isinstance(action, Remove):
            removed.setdefault(action.owner, set()).add(action.index)
        else:
            moves.setdefault(action.owner, []).append(action)
    for owner, indexes in removed.items():
        yield from without(tree.text, _elements(tree, owner), indexes, bracketed=True)
    for statement in moves.values():
        yield from regions_of_moves(tree, statement)


def _elements(tree: Tree, owner: int) -> list[Element]:
    """The arguments of the call whose callee ends at `owner`, or the entries of the dict that starts there."""
    for node in tree.nodes:
        if isinstance(node, cst.Call) and tree.span(node.func)[1] == owner:
            return [_element(tree, argument, argument.comma) for argument in node.args]
        if isinstance(node, cst.Dict) and tree.span(node)[0] == owner:
            return [_element(tree, entry, entry.comma) for entry in node.elements]
    raise CannotFixError("the list that it is in cannot be found")


def _element(tree: Tree, node: cst.CSTNode, comma: object) -> Element:
    start, end = tree.span(node)
    return Element(start=start, end=end, comma=tree.comma_end(comma))
