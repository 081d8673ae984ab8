"""Fixes are made where they are meant, once, and nothing else of a file changes, whatever is in the way."""

from __future__ import annotations

import ast
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.cli.helpers import PACKAGE, environment, run
from trainguard.cli.fixes import fix_and_show
from trainguard.facts.source import read_source
from trainguard.findings import Edit, EditKind, Finding, Fix, Location, Report
from trainguard.fixing import Outcome, fix_reports
from trainguard.fixing import writing as fixing_writing

RENAME = ("rename-argument", "evaluation_strategy", "eval_strategy")


def place(
    text: str, marked: str, path: Path | str, *, nth: int = 0, cell: int | None = None, end: bool = False
) -> Location:
    """Where `marked` stands in a text, the `nth` time."""
    offset = -1
    for _ in range(nth + 1):
        offset = text.index(marked, offset + 1)
    before, line = text[:offset], text.count("\n", 0, offset) + 1
    column = offset - (before.rfind("\n") + 1) + 1
    return Location(str(path), line, column, line if end else None, column + len(marked) if end else None, cell=cell)


def finding(*edits: Edit, safe: bool = True) -> Finding:
    return Finding("error", "wrong", code="API002", where=edits[0].where, fix=Fix("do it", edits=edits, safe=safe))


def report(path: Path, *findings: Finding) -> Report:
    return Report(subject=str(path), findings=findings, sources=read_source(path).texts())


def edit_at(
    path: Path, marked: str, kind: EditKind, old: str, new: str = "", *, nth: int = 0, end: bool = False
) -> Edit:
    text = read_source(path).text
    return Edit(kind, place(text, marked, path, nth=nth, end=end), old, new)


def apply(path: Path, *edits: Edit, write: bool = True) -> Outcome:
    return fix_reports([report(path, *(finding(edit) for edit in edits))], write=write)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def written(content: str | bytes) -> Path:
        path = tmp_path / "train.py"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def fixed(path: Path, text: str, marked: str, kind: EditKind, old: str, new: str = "", **kwargs: int) -> str:
    """The text after one edit, which has to be made, and once only: the second time it finds nothing to do."""
    path.write_text(text)
    edit = edit_at(path, marked, kind, old, new, **kwargs)
    outcome = apply(path, edit)
    assert (outcome.fixed, outcome.not_made, outcome.failed) == (1, [], []), outcome
    result = path.read_text()
    assert apply(path, edit).fixed == 0 or old in new
    ast.parse(result)
    return result


# -- where an edit is -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("T(evaluation_strategy='no')\n", "evaluation_strategy"),
        ("T(evaluation_strategy='no')\n", "'no'"),
        ("T(evaluation_strategy='no')\n", "T"),
        ("a.b.T(x, evaluation_strategy = ('no'))\n", "a.b.T"),
        ("T(evaluation_strategy=('no'))\n", "('no')"),
        ("T(evaluation_strategy=('no'))\n", "'no'"),
        ("T(evaluation_strategy=(1, 2))\n", "(1, 2)"),
        ("k = dict(evaluation_strategy='no')\nT(**k)\n", "'no'"),
        ("k = {'evaluation_strategy': 'no'}\nT(**k)\n", "'no'"),
        ("k = {'evaluation_strategy': 'no'}\nT(**k)\n", "'evaluation_strategy'"),
        ("k = {'evaluation_strategy': 'no'}\nT(**k)\n", "{"),
        ('k = {}\nk["evaluation_strategy"] = "no"\nT(**k)\n', '"no"'),
        ('k = {}\nk["evaluation_strategy"] = "no"\nT(**k)\n', 'k["evaluation_strategy"]'),
        ("p = partial(T, evaluation_strategy='no')\np()\n", "'no'"),
        ("é = T(ü='ñ', x='日本', evaluation_strategy='no')\n", "'no'"),
        ("@wraps(\n\ta,\n\tT(\n\t\tevaluation_strategy='no',  # why\n\t),\n)\ndef f():\n\tpass\n", "'no'"),
        ("x = 1;\ty = T(a,\\\n  evaluation_strategy='no')\n", "evaluation_strategy"),
    ],
)
def test_an_argument_is_renamed_by_its_name_its_value_or_its_call(tmp_path: Path, text: str, marked: str) -> None:
    after = fixed(tmp_path / "a.py", text, marked, *RENAME)
    assert after == text.replace("evaluation_strategy", "eval_strategy")


def test_ends_tell_a_value_from_the_call_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("f(old=g(old=1))\n")
    assert apply(path, edit_at(path, "g", "rename-argument", "old", "new")).not_made[0].endswith("more than once")
    assert apply(path, edit_at(path, "g", "rename-argument", "old", "new", end=True)).fixed == 1
    assert path.read_text() == "f(old=g(new=1))\n"
    assert apply(path, edit_at(path, "g(new=1)", "rename-argument", "old", "new", end=True)).fixed == 1
    assert path.read_text() == "f(new=g(new=1))\n"


@pytest.mark.parametrize(
    ("kind", "text", "marked", "old", "new", "after"),
    [
        ("replace-literal", "T(a='cosin')\n", "'cosin'", "cosin", "cosine", "T(a='cosine')\n"),
        ("replace-literal", 'T(a=r"""cosin""")\n', 'r"""', "cosin", "cosine", 'T(a=r"""cosine""")\n'),
        ("replace-literal", "T(a=-1)\n", "-1", "-1", "0", "T(a=0)\n"),
        ("replace-literal", "T(a=None)\n", "None", "None", "3", "T(a=3)\n"),
        ("rename-attribute", "import t\nt.AdamW(p)\n", "t.AdamW", "AdamW", "Adam", "import t\nt.Adam(p)\n"),
        ("rename-attribute", "import t\nt.AdamW(p)\n", "AdamW", "AdamW", "x.y.A", "import t\nt.x.y.A(p)\n"),
        ("rename-attribute", "a.f.f(1)\n", "f", "f", "g", "a.g.f(1)\n"),
    ],
)
def test_literals_and_attributes(
    tmp_path: Path, kind: EditKind, text: str, marked: str, old: str, new: str, after: str
) -> None:
    assert fixed(tmp_path / "a.py", text, marked, kind, old, new) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("f(old=1)\n", "f()\n"),
        ("f(old=1, b=2)\n", "f(b=2)\n"),
        ("f(a=1, old=1)\n", "f(a=1)\n"),
        ("f(a=1, old=1,)\n", "f(a=1)\n"),
        ("f(a=1, old=1, b=2)\n", "f(a=1, b=2)\n"),
        (
            "f(\n    a=1,  # one\n    old=1,  # gone\n    # about b\n    b=2,\n)\n",
            "f(\n    a=1,  # one\n    # about b\n    b=2,\n)\n",
        ),
        ("f(\n    a=1,\n    old=g(\n        1,\n    )\n)\n", "f(\n    a=1,\n)\n"),
        ("f(a=1,\n  old=1)\n", "f(a=1)\n"),
        ("f(a=1,  # one\n  old=1)\n", "f(a=1,  # one\n  )\n"),
        ("f(a=1, old=1,\n  b=2)\n", "f(a=1, b=2)\n"),
        ("f(a=1, old=1,  # c\n  b=2)\n", "f(a=1,   # c\n  b=2)\n"),
        ("f(\n    old=1,\n)\n", "f(\n)\n"),
        ("k = {'a': 1, 'old': (1)}\n", "k = {'a': 1}\n"),
        ("k = {\n  'old': 1,\n  **b,\n}\n", "k = {\n  **b,\n}\n"),
        ("k = dict(b, old=1)\n", "k = dict(b)\n"),
    ],
)
def test_an_argument_goes_with_its_comma_and_its_lines(tmp_path: Path, text: str, after: str) -> None:
    assert fixed(tmp_path / "a.py", text, "'old'" if "'old'" in text else "old", "remove-argument", "old") == after


def test_several_arguments_of_one_call(script: Callable[[str | bytes], Path]) -> None:
    path = script("f(\n    a=1,\n    b=2,\n    c=3, d=4)\n")
    outcome = apply(path, *(edit_at(path, f"{name}=", "remove-argument", name) for name in "bcd"))
    assert (outcome.fixed, path.read_text()) == (3, "f(\n    a=1)\n")


@pytest.mark.parametrize(
    ("text", "new", "after"),
    [
        ("from t import A\n", "o.A", "from o import A\n"),
        ("from t import A as B\n", "o.p.C", "from o.p import C as B\n"),
        ("from t import A\n", "t.C", "from t import C as A\n"),
        ("from t import A as B, D\n", "t.C", "from t import C as B, D\n"),
        ("from t import A, B  # why\nx = 1\n", "o.A", "from t import B  # why\nfrom o import A\nx = 1\n"),
        ("from t import B, A", "o.C", "from t import B\nfrom o import C as A"),
        (
            "try:\n    from t import (\n        B,\n        A,\n    )\nexcept E:\n    pass\n",
            "o.A",
            "try:\n    from t import (\n        B,\n    )\n    from o import A\nexcept E:\n    pass\n",
        ),
        ("from t import B, \\\n  A\n", "o.A", "from t import B\nfrom o import A\n"),
    ],
)
def test_an_import_moves_and_binds_the_same_name(tmp_path: Path, text: str, new: str, after: str) -> None:
    assert fixed(tmp_path / "a.py", text, "A", "rename-import", "t.A", new) == after
    path = tmp_path / "b.py"
    path.write_text(text)
    assert apply(path, edit_at(path, "from", "rename-import", "t.A", new)).fixed == 1
    assert path.read_text() == after


def test_names_that_move_together(script: Callable[[str | bytes], Path]) -> None:
    path = script("if x:\n    from t import A, B, C\n")
    moved = {"A": "o.A", "B": "p.B", "C": "o.D"}
    outcome = apply(path, *(edit_at(path, f"{old}", "rename-import", f"t.{old}", new) for old, new in moved.items()))
    assert outcome.fixed == 3
    assert path.read_text() == "if x:\n    from o import A, D as C\n    from p import B\n"


def test_a_module_import_with_a_name_of_its_own(tmp_path: Path) -> None:
    text = "import t.old as o, x\n"
    assert fixed(tmp_path / "a.py", text, "import", "rename-import", "t.old", "t.new") == "import t.new as o, x\n"


@pytest.mark.parametrize(
    ("kind", "text", "marked", "old", "new", "reason"),
    [
        (*RENAME[:1], "T(b=1)\n", "T", "a", "c", "'a' does not stand there"),
        (*RENAME[:1], "x\nT(a=1)\n", "x", "a", "c", "'a' does not stand there"),
        (*RENAME[:1], "T(a=1, c=2)\n", "T", "a", "c", "the call has an argument 'c' already"),
        (*RENAME[:1], "{'a': 1, 'c': 2}\n", "{", "a", "c", "the dict has a key 'c' already"),
        (*RENAME[:1], "T(a=1)\n", "T", "a", "not good", "'not good' is no name"),
        (*RENAME[:1], "T(a=1)\n", "T", "a", "class", "'class' is no name"),
        ("remove-argument", 'k["a"] = 1\n', "1", "a", "", "stored by a statement of its own"),
        ("replace-literal", "T('a')\n", "'a'", "a", "it's", "cannot be written in the string's place"),
        ("replace-literal", "T(f'a')\n", "f'a'", "a", "b", "does not stand there"),
        ("replace-literal", "T(1)\n", "1", "1", "f()", "does not stand there"),
        ("replace-literal", "T('a' 'b')\n", "'a'", "ab", "b", "does not stand there"),
        ("rename-import", "from t import *\n", "from", "t.A", "o.A", "is not imported there"),
        ("rename-import", "from .t import A\n", "from", "t.A", "o.A", "is not imported there"),
        ("rename-import", "import t\n", "import", "t", "o", "binds the module's own name"),
        ("rename-import", "from t import A, B; x = 1\n", "from", "t.A", "o.A", "shares its line"),
        ("rename-import", "if x: from t import A, B\n", "from", "t.A", "o.A", "shares its line"),
        ("rename-import", "from t import (  # c\n  A)\n", "from", "t.A", "o.A", "comments between its names"),
        ("rename-attribute", "a.b\n", "a.b", "b", "c d", "is no name"),
        (*RENAME[:1], "T(a=1\n", "T", "a", "b", "cannot be read as Python"),
        (*RENAME[:1], "T(a=1)\nx = = 2\n", "T", "a", "b", "line 2 is no Python that LibCST"),
        (*RENAME[:1], "T(a=1)\nwhen x:\n    pass\n", "T", "a", "b", "the script is broken, or newer"),
        (*RENAME[:1], "T(a=" + "(" * 3000 + "1" + ")" * 3000 + ")\n", "T", "a", "b", "nested too deeply"),
        (*RENAME[:1], "T(a=" + "1+" * 3000 + "1)\n", "T", "a", "b", "nested too deeply"),
        (*RENAME[:1], "T(a=1)\nx = y" + "()" * 3000 + "\n", "T", "a", "b", "nested too deeply"),
        (*RENAME[:1], "T(a=1)\nx = (\n" + "'b'\n" * 2000 + ")\n", "T", "a", "b", "nested too deeply"),
        (*RENAME[:1], "T(a=1)\n#" + "x" * 400_001, "T", "a", "b", "too many to be edited"),
    ],
)
def test_what_cannot_be_fixed_is_said_and_left(
    script: Callable[[str | bytes], Path], kind: EditKind, text: str, marked: str, old: str, new: str, reason: str
) -> None:
    path = script(text)
    outcome = apply(path, edit_at(path, marked, kind, old, new))
    assert (outcome.fixed, outcome.files, outcome.diffs) == (0, [], [])
    assert len(outcome.not_made) == 1
    assert outcome.not_made[0].startswith(f"{path}:")
    assert reason in outcome.not_made[0]
    assert path.read_text() == text


# -- several fixes ------------------------------------------------------------------------


def test_an_edit_that_several_findings_ask_for_is_made_once(script: Callable[[str | bytes], Path]) -> None:
    path = script("k = dict(evaluation_strategy='no')\nT(**k)\nU(**k)\n")
    by_value, by_name = edit_at(path, "'no'", *RENAME), edit_at(path, "evaluation_strategy", *RENAME)
    one = report(path, finding(by_value), finding(by_name), finding(by_value))
    outcome = fix_reports([one, one], write=True)
    assert path.read_text() == "k = dict(eval_strategy='no')\nT(**k)\nU(**k)\n"
    assert (outcome.not_made, len(outcome.diffs)) == ([], 1)
    again = fix_reports([report(path, finding(by_value))], write=True)
    assert (again.fixed, again.diffs, len(again.not_made)) == (0, [], 1)


@pytest.mark.parametrize(
    "other",
    [
        ("'no'", "rename-argument", "evaluation_strategy", "strategy"),
        ("'no'", "remove-argument", "evaluation_strategy", ""),
        ("b=", "rename-argument", "b", "eval_strategy"),
    ],
)
def test_edits_that_disagree_are_not_made_and_others_are(
    script: Callable[[str | bytes], Path], other: tuple[str, EditKind, str, str]
) -> None:
    path = script("T(evaluation_strategy='no', b=2, c=3)\n")
    edits = [edit_at(path, "'no'", *RENAME), edit_at(path, *other), edit_at(path, "c=", "rename-argument", "c", "d")]
    outcome = apply(path, *edits)
    assert path.read_text() == "T(evaluation_strategy='no', b=2, d=3)\n"
    assert outcome.fixed == 1
    assert [line.split(": ")[-1] for line in outcome.not_made] == [
        "another fix wants something else in the same place; neither was made"
    ] * 2


def test_all_edits_of_a_fix_are_made_or_none(script: Callable[[str | bytes], Path]) -> None:
    path = script("T(a=1)\nU(b=1)\n")
    both = finding(edit_at(path, "a", "rename-argument", "a", "c"), edit_at(path, "b", "rename-argument", "x", "c"))
    assert fix_reports([report(path, both)], write=True).fixed == 0
    assert path.read_text() == "T(a=1)\nU(b=1)\n"


def test_a_fix_that_breaks_the_script_does_not_stop_the_others(script: Callable[[str | bytes], Path]) -> None:
    text = "if x: from t import A, B\nT(a=1)\n"
    path = script(text)
    outcome = apply(
        path, edit_at(path, "from", "rename-import", "t.A", "o.A"), edit_at(path, "a", "rename-argument", "a", "c")
    )
    assert (outcome.fixed, len(outcome.not_made)) == (1, 1)
    assert path.read_text() == text.replace("a=1", "c=1")


def test_a_fix_that_is_not_safe_is_left_alone(script: Callable[[str | bytes], Path]) -> None:
    path = script("T(a=1)\n")
    edit = edit_at(path, "a", "rename-argument", "a", "b")
    outcome = fix_reports([report(path, finding(edit, safe=False), Finding("warn", "x", fix="words"))], write=True)
    assert outcome == Outcome()


# -- files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"T(\r\n\tevaluation_strategy='no',\t# x  \r\n)\r\n",
        b"# one\rT(evaluation_strategy='no')\n# mixed\r\nx = '''\r\n'''\r",
        b"\xef\xbb\xbfT(evaluation_strategy='no')",
        b"# -*- coding: latin-1 -*-\nx = '\xe9\xe8'; T(evaluation_strategy='\xfc')\n",
        b"#!/usr/bin/env python\n# vim: set fileencoding=cp1252 :\nT('\x80', evaluation_strategy='no')\n",
        "T('日本 \U0001f600', evaluation_strategy='no')  # ü\n\n\n".encode(),
        b"x = 1 \nif x:\n\tif x:\n\t        T(evaluation_strategy='no')   \n",
        b"x = 1\n\x0c\nT(evaluation_strategy='no')\n",
        b"type X[T = int] = T\ndef f[T](): T(evaluation_strategy='no')\n",
        b"try: T(evaluation_strategy='no')\nexcept A, B: pass\n",
    ],
)
def test_every_other_byte_stays(script: Callable[[str | bytes], Path], content: bytes) -> None:
    path = script(content)
    assert apply(path, edit_at(path, "evaluation_strategy", *RENAME)).fixed == 1
    assert path.read_bytes() == content.replace(b"evaluation_strategy", b"eval_strategy")


def test_new_lines_end_as_the_others_do(script: Callable[[str | bytes], Path]) -> None:
    path = script(b"from t import A, B\r\nx = 1\r\n")
    assert apply(path, edit_at(path, "A", "rename-import", "t.A", "o.A")).fixed == 1
    assert path.read_bytes() == b"from t import B\r\nfrom o import A\r\nx = 1\r\n"


def test_a_line_with_a_form_feed_is_not_edited(script: Callable[[str | bytes], Path]) -> None:
    path = script(b"x = 1\n\x0cT(evaluation_strategy='no')\n")
    assert "form feed" in apply(path, edit_at(path, "evaluation_strategy", *RENAME)).not_made[0]


def test_a_character_that_the_encoding_lacks_is_not_written(script: Callable[[str | bytes], Path]) -> None:
    path = script(b"# coding: latin-1\nT('a')\n")
    outcome = apply(path, edit_at(path, "'a'", "replace-literal", "a", "日"))
    assert "lacks a character" in outcome.not_made[0]


def test_mode_owner_and_links_stay_and_no_temporary_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("T(evaluation_strategy='no')\n")
    real.chmod(0o751)
    link.symlink_to("real.py")
    assert apply(link, edit_at(link, "T", *RENAME)).fixed == 1
    assert link.is_symlink()
    assert real.stat().st_mode & 0o7777 == 0o751
    assert real.read_text() == "T(eval_strategy='no')\n"
    assert sorted(os.listdir(tmp_path)) == ["link.py", "real.py"]


def test_two_names_of_a_file_are_one_file(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("T(evaluation_strategy='no')\n")
    link.symlink_to("real.py")
    reports = [report(path, finding(edit_at(path, "T", *RENAME))) for path in (real, link)]
    outcome = fix_reports(reports, write=True)
    assert (outcome.not_made, len(outcome.diffs)) == ([], 1)
    assert real.read_text() == "T(eval_strategy='no')\n"


@pytest.mark.parametrize("changed", ["T(evaluation_strategy='no')\n# later\n", "\udcff", None])
def test_a_file_that_changed_since_is_left(script: Callable[[str | bytes], Path], changed: str | None) -> None:
    path = script("T(evaluation_strategy='no')\n")
    old = report(path, finding(edit_at(path, "T", *RENAME)))
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed.encode("utf-8", "surrogateescape"))
    outcome = fix_reports([old], write=True)
    assert outcome.fixed == 0
    assert outcome.not_made[0].endswith("it changed since it was checked" if changed is not None else "from stdin")
    assert not path.exists() or path.read_bytes() == (changed or "").encode("utf-8", "surrogateescape")


def test_a_file_that_changes_while_it_is_written_is_left(
    script: Callable[[str | bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script("T(evaluation_strategy='no')\n")
    edit = edit_at(path, "T", *RENAME)
    sync = os.fsync

    def meanwhile(handle: int) -> None:
        sync(handle)
        path.write_text("another\n")

    monkeypatch.setattr(fixing_writing.os, "fsync", meanwhile)
    outcome = apply(path, edit)
    assert (outcome.fixed, outcome.diffs) == (0, [])
    assert outcome.not_made[0].endswith("it changed since it was checked")
    assert path.read_text() == "another\n"
    assert os.listdir(path.parent) == ["train.py"]


def test_a_read_only_file_is_an_error_and_stays(script: Callable[[str | bytes], Path]) -> None:
    path = script("T(evaluation_strategy='no')\n")
    path.chmod(0o444)
    outcome = apply(path, edit_at(path, "T", *RENAME))
    assert outcome.failed == [f"{path}: cannot be written: it is read-only"]
    assert (outcome.fixed, outcome.files, outcome.diffs) == (0, [], [])
    assert path.read_text() == "T(evaluation_strategy='no')\n"


@pytest.mark.parametrize("step", ["mkstemp", "fsync", "replace"])
def test_a_write_that_fails_loses_nothing(
    script: Callable[[str | bytes], Path], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = script("T(evaluation_strategy='no')\n")
    edit = edit_at(path, "T", *RENAME)

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fixing_writing.tempfile if step == "mkstemp" else fixing_writing.os, step, fails)
    outcome = apply(path, edit)
    assert outcome.failed == [f"{path}: cannot be written: No space left on device; it is as it was"]
    assert path.read_text() == "T(evaluation_strategy='no')\n"
    assert os.listdir(path.parent) == ["train.py"]


def test_a_text_without_a_file_is_said_to_have_none(tmp_path: Path) -> None:
    for path in ("job.json:script", "<stdin>", None):
        edit = Edit("rename-argument", Location(path, 1, 3), "a", "b")
        of_job = Report(subject="job", findings=(finding(edit),), sources={(path, None): "T(a=1)\n"})
        assert "has no file of its own" in fix_reports([of_job], write=True).not_made[0]


def test_diff_only(script: Callable[[str | bytes], Path]) -> None:
    path = script("x = 1\nT(evaluation_strategy='no')")
    outcome = apply(path, edit_at(path, "T", *RENAME), write=False)
    assert outcome.diffs == [
        f"--- {path}\n+++ {path}\n@@ -1,2 +1,2 @@\n x = 1\n"
        "-T(evaluation_strategy='no')\n\\ No newline at end of file\n"
        "+T(eval_strategy='no')\n\\ No newline at end of file\n"
    ]
    assert "evaluation_strategy" in path.read_text()


# -- notebooks ---------------------------------------------------------------------------------


def notebook(
    path: Path, sources: Sequence[str | list[str]], *, ascii_only: bool = True, indent: int | None = 1
) -> None:
    cells = [{"cell_type": "markdown", "source": "# evaluation_strategy"}]
    cells += [{"cell_type": "code", "outputs": [], "source": source} for source in sources]  # type: ignore[misc]
    document = {"cells": cells, "metadata": {"π": 1.50}, "nbformat": 4}
    path.write_text(json.dumps(document, ensure_ascii=ascii_only, indent=indent) + "\n", encoding="utf-8")


def edit_in(path: Path, cell: int, marked: str, kind: EditKind, old: str, new: str = "") -> Edit:
    text = read_source(path).texts()[(str(path), cell)]
    return Edit(kind, place(text, marked, path, cell=cell), old, new)


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 1, 4])
def test_only_the_lines_of_a_cell_change(tmp_path: Path, ascii_only: bool, indent: int | None) -> None:
    path = tmp_path / "a.ipynb"
    lines = ["!pip install trl\n", "x = 'é\U0001f600\t\"\\\\'; T('\U0001f600', evaluation_strategy='no')\n", "await x"]
    notebook(path, [lines, "U(evaluation_strategy=1)\nx = 2", "broken = = 1"], ascii_only=ascii_only, indent=indent)
    before = path.read_bytes()
    edits = [edit_in(path, 2, "'no'", *RENAME), edit_in(path, 3, "U", *RENAME)]
    outcome = apply(path, *edits)
    assert (outcome.fixed, outcome.not_made, len(outcome.diffs)) == (2, [], 2)
    assert f"--- {path}:cell 2\n" in outcome.diffs[0]
    assert "No newline" not in outcome.diffs[1]
    assert path.read_bytes() == before.replace(b"evaluation_strategy=", b"eval_strategy=")


def test_lines_come_and_go_in_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    notebook(path, [["from t import A, B\n", "T(\n", "    a=1,\n", "    b=2,\n", ")"], ["T(\n", "a=1)\n", "\n"]])
    apply(path, edit_in(path, 2, "A", "rename-import", "t.A", "o.A"), edit_in(path, 2, "a=", "remove-argument", "a"))
    cells = json.loads(path.read_text())["cells"]
    assert cells[1]["source"] == ["from t import B\nfrom o import A\n", "T(\n", "    b=2,\n", ")"]
    assert cells[2]["source"] == ["T(\n", "a=1)\n", "\n"]
    assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=1) + "\n"


def test_a_notebook_of_format_3(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    cell = {"cell_type": "code", "input": ["T(a=1)"]}
    path.write_text(json.dumps({"worksheets": [{"cells": [cell]}, {"cells": [cell]}], "nbformat": 3}))
    apply(path, edit_in(path, 2, "T", "rename-argument", "a", "b"))
    sheets = json.loads(path.read_text())["worksheets"]
    assert [sheet["cells"][0]["input"] for sheet in sheets] == [["T(a=1)"], ["T(b=1)"]]


def test_a_magic_line_and_a_cell_that_is_no_python_are_left(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    notebook(path, ["%time x = T(a=1)", "T(a=1)\nx = = 2"])
    before = path.read_text()
    outcome = apply(path, *(edit_in(path, cell, "T", "rename-argument", "a", "b") for cell in (2, 3)))
    assert "line 1 stands otherwise in the file" in outcome.not_made[0]
    assert "no Python that LibCST" in outcome.not_made[1]
    assert path.read_text() == before


# -- the command line --------------------------------------------------------------------------

RULE = '''
from trainguard.findings import Edit, Finding, Fix
from trainguard.rules.base import Example, Rule, Subject

class OldName(Rule):
    """Old names.

    *What it does* finds them; *Why it costs you* it does not; *Example* T(old=1); *Use instead* T(new=1).
    """
    code = "API999"
    name = "old-name"
    severity = "error"
    area = "api"
    VALID = (Example(script="T(new=1)"),)
    INVALID = (Example(script="T(old=1)", findings=((1, "old"),)),)

    def check(self, subject):
        assert subject.script is not None
        for call in subject.script.calls:
            for name, new in (("old", "new"), ("odd", "even")):
                if name in call.keywords:
                    where = call.argument_location(name)
                    edit = Edit("rename-argument", where, name, new)
                    yield self.finding(name, where=where, fix=Fix(f"write {new}=", edits=(edit,), safe=name == "old"))
'''
SCRIPT = "import trl\nk = {'old': 1}\ntrl.T(old=2)\ntrl.T(**k)\ntrl.U(**k)\n"
QUICK = ("--isolated", "--no-python-engine", "--select", "API999")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with one rule, whose findings can be fixed."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "trainguard", ignore=shutil.ignore_patterns("__pycache__"))
    for rule in (folder / "trainguard/rules").glob("*/*.py"):
        if rule.name != "__init__.py":
            rule.unlink()
    (folder / "trainguard/rules/job/old_name.py").write_text(RULE)
    return folder


def test_fix_writes_shows_and_counts_what_remains(root: Path, script: Callable[[str | bytes], Path]) -> None:
    path = script(SCRIPT)
    shown = run("check", str(path), "--diff", *QUICK, root=root)
    assert shown.returncode == 1
    assert shown.stdout.startswith(f"--- {path}\n+++ {path}\n@@ -1,5 +1,5 @@\n")
    assert path.read_text() == SCRIPT
    assert "2 fixes can be made in 1 file" in shown.stderr
    done = run("check", str(path), "--fix", *QUICK, root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_text() == SCRIPT.replace("old", "new")
    assert "-trl.T(old=2)\n+k = {'new': 1}\n+trl.T(new=2)\n trl.T(**k)\n" in done.stdout
    assert done.stdout.endswith("\n\nNothing found in 1 file.\n")
    assert "2 fixes made in 1 file" in done.stderr
    again = run("check", str(path), "--fix", *QUICK, root=root)
    assert (again.returncode, "0 fixes made" in again.stderr, "---" in again.stdout) == (0, True, False)


def test_what_remains_counts_and_the_report_stays_readable(root: Path, script: Callable[[str | bytes], Path]) -> None:
    path = script("import trl\ntrl.T(old=2, odd=1)\n")
    done = run("check", str(path), "--fix", "--format", "json", *QUICK, root=root)
    assert done.returncode == 1
    (left,) = json.loads(done.stdout)["reports"][0]["findings"]
    where = {"path": str(path), "line": 2, "column": 18, "end_line": 2, "end_column": 19}
    assert left["fix"] == {
        "text": "write even=",
        "edits": [{"kind": "rename-argument", "where": where, "old": "odd", "new": "even"}],
        "safe": False,
    }
    assert "+trl.T(new=2, odd=1)" in done.stderr


def test_stdin_and_jobs_are_not_rewritten(root: Path, tmp_path: Path) -> None:
    done = run("check", "-", "--fix", *QUICK, root=root, stdin=SCRIPT)
    assert done.returncode == 1
    assert "has no file of its own" in done.stderr
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"script": SCRIPT, "hardware_flavor": "a10g-large"}))
    before = job.read_bytes()
    done = run("check", "--job", str(job), "--fix", *QUICK, root=root)
    assert (done.returncode, job.read_bytes()) == (1, before)
    assert "has no file of its own" in done.stderr


def test_a_script_is_fixed_around_a_job_on_stdin(root: Path, script: Callable[[str | bytes], Path]) -> None:
    path = script(SCRIPT)
    done = run("check", str(path), "--job", "-", "--fix", *QUICK, root=root, stdin='{"flavor": "a10g-large"}')
    assert (done.returncode, path.read_text()) == (0, SCRIPT.replace("old", "new"))


def test_a_full_disk_is_exit_code_2_and_nothing_is_lost(root: Path, script: Callable[[str | bytes], Path]) -> None:
    path = script(SCRIPT + "#" * 20_000)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(
        [sys.executable, "-m", "trainguard", "check", str(path), "--fix", *QUICK],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment(root, PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=limited,
    )
    assert done.returncode == 2
    assert f"error: {path}: cannot be written: File too large; it is as it was" in done.stderr
    assert path.read_text() == SCRIPT + "#" * 20_000
    assert os.listdir(path.parent) == ["train.py"]


def test_libcst_is_loaded_for_fixes_alone(root: Path, script: Callable[[str | bytes], Path]) -> None:
    path = script(SCRIPT)
    code = (
        "import sys; from trainguard.cli import main; main(sys.argv[1:]);"
        "print([m for m in sys.modules if m == 'libcst' or m.startswith('trainguard.fixing')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", str(path), *QUICK],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment(root),
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_libcst_it_says_what_to_install(root: Path, script: Callable[[str | bytes], Path]) -> None:
    path = script(SCRIPT)
    code = "import sys; sys.modules['libcst'] = None; from trainguard.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", str(path), "--fix", *QUICK],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=environment(root),
    )
    assert done.returncode == 2
    assert "need LibCST, which is not installed" in done.stderr


def test_edits_go_through_json_and_kinds_are_checked() -> None:
    where = Location("a.ipynb", 1, 2, cell=3)
    edits = (Edit("rename-argument", where, "a", "b"), Edit("remove-argument", where, "c"))
    for fix in (Fix("x", edits=edits, safe=True), Fix("x", edits=edits), Fix("x", safe=True), Fix("x")):
        found = Finding("error", "m", fix=fix)
        assert Finding.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    with pytest.raises(ValueError, match="an edit is 'other'"):
        Edit("other", where, "a")  # type: ignore[arg-type]


def test_a_diff_shows_no_tokens(script: Callable[[str | bytes], Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = script("k = 'hf_abcdefghijklmnopqrstuvwxyz'\nT(a=1)\t# \x1b[31m\n")
    of_script = report(path, finding(edit_at(path, "T", "rename-argument", "a", "b")))
    fix_and_show([of_script], write_files=False, color="never", to_stderr=False)
    shown = capsys.readouterr().out
    assert " k = 'hf_**************************'\n-T(a=1)\t# \\x1b[31m\n+T(b=1)\t# \\x1b[31m\n" in shown
