"""From the findings of a check to changed files: which fixes are made, which are not and why."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.findings import Edit, Finding, Location, Report
from trainguard.fixing.changes import Action, CannotFixError, Changes, WriteError, disagree, spliced
from trainguard.fixing.diff import unified_diff
from trainguard.fixing.document import Document, read_document
from trainguard.fixing.writing import replace_file

if TYPE_CHECKING:
    from trainguard.fixing.editor import Editor

_NO_FILE = "the script has no file of its own: it is part of a job or a command, or came from stdin"
_DISAGREE = "another fix wants something else in the same place; neither was made"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of the fixes. `fixed` counts those made; `not_made` and `failed` are lines for people.

    `diffs` hold one unified diff each, of a script or of a notebook's cell; `failed` are files that could not
    be read or written: they are as they were.
    """

    fixed: int = 0
    files: list[str] = field(default_factory=list)
    diffs: list[str] = field(default_factory=list)
    not_made: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class _Wanted:
    """One fix under way: its finding, and by cell what its edits come to."""

    finding: Finding
    edits: tuple[Edit, ...]
    actions: list[tuple[int | None, Action]] = field(default_factory=list)
    refused: str | None = None

    @property
    def place(self) -> Location:
        return self.finding.where or self.edits[0].where


def fix_reports(reports: Sequence[Report], *, write: bool) -> Outcome:
    """Makes the safe fixes of the findings, each once; with `write` False only says what it would do."""
    outcome = Outcome()
    sources: dict[str, dict[int | None, set[str]]] = {}
    for report in reports:
        for (path, cell), text in report.sources.items():
            sources.setdefault(path or "", {}).setdefault(cell, set()).add(text)
    for path, wanted in _by_file(reports).items():
        _fix_file(path, wanted, sources.get(path), outcome, write=write)
    return outcome


def _by_file(reports: Iterable[Report]) -> dict[str, list[_Wanted]]:
    """The safe fixes by path. One that several findings ask for is one; two names of a file are one file."""
    names: dict[str, str] = {}
    found: dict[str, dict[tuple[Edit, ...], _Wanted]] = {}
    for finding in (finding for report in reports for finding in report.findings):
        if finding.fix is not None and finding.fix.safe and finding.fix.edits:
            edits = finding.fix.edits
            path = edits[0].where.path or ""
            path = names.setdefault(os.path.realpath(path), path) if path else ""
            found.setdefault(path, {}).setdefault(edits, _Wanted(finding=finding, edits=edits))
    return {path: list(wanted.values()) for path, wanted in found.items()}


def _fix_file(
    path: str, wanted: list[_Wanted], sources: Mapping[int | None, set[str]] | None, outcome: Outcome, *, write: bool
) -> None:
    """Makes the fixes of one file, or says in `outcome` why not."""
    try:
        if sources is None or not os.path.lexists(path):
            raise CannotFixError(_NO_FILE)
        document = read_document(Path(path))
        if {cell: {text} for cell, text in document.texts.items()} != sources:
            raise CannotFixError("it changed since it was checked")
        changes, content = _content(document, wanted)
        if write and content != document.content:
            replace_file(Path(path), document.content, content)
    except CannotFixError as error:
        for each in wanted:
            each.refused = str(error)
        changes = {}
    except WriteError as error:
        outcome.failed.append(str(error))
        return
    outcome.not_made += [f"{each.place}: not fixed: {each.refused}" for each in wanted if each.refused is not None]
    outcome.fixed += sum(each.refused is None for each in wanted)
    if changes:
        outcome.files.append(path)
    for cell, regions in changes.items():
        before = document.texts[cell]
        outcome.diffs.append(unified_diff(path, cell, before, spliced(before, regions)))


def _content(document: Document, wanted: Sequence[_Wanted]) -> tuple[Changes, bytes]:
    """The regions to replace by cell, and the bytes that this makes; fixes that cannot be made say so.

    All are tried together. Where that fails they are added one by one, so that one does not stop the others.
    """
    from trainguard.fixing.editor import Editor  # loads LibCST

    editor = Editor(document)
    for each in wanted:
        try:
            if len({edit.where.path for edit in each.edits}) > 1:
                raise CannotFixError("its edits are in several files")
            each.actions = [editor.action(edit) for edit in each.edits]
        except CannotFixError as error:
            each.refused = str(error)
    possible = [each for each in wanted if each.refused is None]
    for each in possible:
        if any(_disagree(each, other) for other in possible if other is not each):
            each.refused = _DISAGREE
    possible = [each for each in possible if each.refused is None]
    try:
        return editor.result(action for each in possible for action in each.actions)
    except CannotFixError:
        return _one_by_one(editor, possible)


def _disagree(one: _Wanted, other: _Wanted) -> bool:
    return any(
        cell == other_cell and disagree(action, other_action)
        for cell, action in one.actions
        for other_cell, other_action in other.actions
    )


def _one_by_one(editor: Editor, possible: Iterable[_Wanted]) -> tuple[Changes, bytes]:
    made: list[tuple[int | None, Action]] = []
    result = editor.result(made)
    for each in possible:
        try:
            result = editor.result([*made, *each.actions])
            made += each.actions
        except CannotFixError as error:
            each.refused = str(error)
    return result
