"""The currency of trainguard: what every rule, signal and drill yields, and every report shows.

Standard library only, so that a harness can import it at no cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

Severity: TypeAlias = Literal["error", "warn", "info"]
FailOn: TypeAlias = Literal["error", "warn", "info", "never"]
EditKind: TypeAlias = Literal[
    "rename-argument", "remove-argument", "rename-import", "rename-attribute", "replace-literal"
]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
EDIT_KINDS: tuple[EditKind, ...] = get_args(EditKind)
_RANK: Mapping[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}

EXIT_CLEAN = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 3


class Evidence(Mapping[str, Any]):
    """The numbers behind a finding: an immutable, hashable, ordered mapping of plain values."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self._items: dict[str, Any] = {key: _frozen(value) for key, value in dict(items).items()}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"Evidence({self._items!r})"


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Evidence(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file. Lines and columns count from 1, columns in characters; ends are exclusive.

    In a notebook `cell` counts its cells from 1 and the lines are those of the cell.
    """

    path: str | None = None
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    cell: int | None = None

    def __str__(self) -> str:
        cell = [f"cell {self.cell}"] if self.cell is not None else []
        numbers = [str(n) for n in (self.line, self.column) if n is not None]
        return ":".join([self.path or "<input>", *cell, *numbers])


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a script, in terms of what stands there. `--fix` makes it, or says why it cannot.

    | `kind` | `where` | `old`, `new` |
    |---|---|---|
    | rename-argument | the keyword, its value or the call; a dict's entry; `kwargs["old"] = ...` | names |
    | remove-argument | the keyword, its value or the call; a dict's entry | the name, nothing |
    | rename-import | the imported name or the import statement | dotted: `transformers.AdamW` |
    | rename-attribute | the attribute expression, or the attribute's own name | names; `new` may be dotted |
    | replace-literal | the literal | a string's content without quotes; else the text of a literal |

    A renamed import still binds the name that the script uses. Where `where` has an end it has to match too.
    Raises ValueError for another kind.
    """

    kind: EditKind
    where: Location
    old: str
    new: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EDIT_KINDS:
            raise ValueError(f"an edit is {self.kind!r}, expected one of {', '.join(EDIT_KINDS)}")


@dataclass(frozen=True, slots=True)
class Fix:
    """What to write instead. `text` is for people; `replacement`, where given, replaces `where`.

    `edits` say it for a program: all of them are made, in one file, or none. `safe` means that the script
    means the same afterwards; only a safe fix is made without being asked for.
    """

    text: str
    replacement: str | None = None
    where: Location | None = None
    edits: tuple[Edit, ...] = ()
    safe: bool = False

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing, and what to do about it.

    `Finding(severity, message)` is enough. `fix` takes a plain string too, and `evidence` any
    mapping of plain values; both are stored frozen. Findings sort by place.

    Raises ValueError for a severity other than "error", "warn" and "info".
    """

    severity: Severity
    message: str
    code: str | None = None
    name: str | None = None
    where: Location | None = None
    fix: Fix | None = None
    evidence: Mapping[str, Any] = field(default_factory=Evidence)
    step: int | None = None
    docs: str | None = None

    def __post_init__(self) -> None:
        if self.severity not in _RANK:
            raise ValueError(f"severity is {self.severity!r}, expected one of {', '.join(SEVERITIES)}")
        fix: object = self.fix
        if isinstance(fix, str):
            object.__setattr__(self, "fix", Fix(fix))
        if not isinstance(self.evidence, Evidence):
            object.__setattr__(self, "evidence", Evidence(self.evidence))

    @property
    def sort_key(self) -> tuple[str, int, int, int, int, str, int, str]:
        where = self.where or Location()
        return (
            where.path or "",
            where.cell or 0,
            where.line or 0,
            where.column or 0,
            _RANK[self.severity],
            self.code or "",
            self.step or 0,
            self.message,
        )

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Finding):
            return NotImplemented
        return self.sort_key < other.sort_key

    def at_least(self, severity: Severity) -> bool:
        """Whether this finding is as severe as `severity`, or more."""
        return _RANK[self.severity] <= _RANK[severity]

    def to_dict(self) -> dict[str, Any]:
        """A plain, JSON-ready dict; absent fields are left out. `from_dict` brings it back."""
        plain: dict[str, Any] = {"severity": self.severity, "message": self.message}
        for key in ("code", "name", "step", "docs"):
            if (value := getattr(self, key)) is not None:
                plain[key] = value
        if self.where is not None:
            plain["where"] = _location_to_dict(self.where)
        if self.fix is not None:
            plain["fix"] = _fix_to_dict(self.fix)
        if self.evidence:
            plain["evidence"] = _plain(self.evidence)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Finding:
        """The finding that `to_dict` wrote. Raises KeyError or TypeError for another shape."""
        where = plain.get("where")
        fix = plain.get("fix")
        if isinstance(fix, Mapping):
            fix = _fix_from_dict(fix)
        return cls(
            severity=plain["severity"],
            message=plain["message"],
            code=plain.get("code"),
            name=plain.get("name"),
            where=Location(**where) if where is not None else None,
            fix=fix,
            evidence=Evidence(plain.get("evidence", {})),
            step=plain.get("step"),
            docs=plain.get("docs"),
        )


def _fix_to_dict(fix: Fix) -> dict[str, Any]:
    plain: dict[str, Any] = {"text": fix.text}
    if fix.replacement is not None:
        plain["replacement"] = fix.replacement
    if fix.where is not None:
        plain["where"] = _location_to_dict(fix.where)
    if fix.edits:
        plain["edits"] = [_edit_to_dict(edit) for edit in fix.edits]
    if fix.edits or fix.safe:
        plain["safe"] = fix.safe
    return plain


def _edit_to_dict(edit: Edit) -> dict[str, Any]:
    new = {"new": edit.new} if edit.new else {}
    return {"kind": edit.kind, "where": _location_to_dict(edit.where), "old": edit.old, **new}


def _fix_from_dict(plain: Mapping[str, Any]) -> Fix:
    where = plain.get("where")
    return Fix(
        text=plain["text"],
        replacement=plain.get("replacement"),
        where=Location(**where) if where is not None else None,
        edits=tuple(
            Edit(each["kind"], Location(**each["where"]), each["old"], each.get("new", ""))
            for each in plain.get("edits", ())
        ),
        safe=plain.get("safe", False),
    )


def _location_to_dict(where: Location) -> dict[str, Any]:
    fields = ("path", "line", "column", "end_line", "end_column", "cell")
    return {name: value for name in fields if (value := getattr(where, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalError:
    """A rule, or the reading of a subject, that failed inside trainguard. Never a clean result."""

    origin: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All findings about one subject: a file, a job, a run.

    `sources` are the texts that findings point into (for carets), by path and notebook cell; `not_asked`
    are the codes of rules that had nothing to judge, with what they lack; `unreadable` says why the
    subject could not be read.
    """

    subject: str
    findings: tuple[Finding, ...] = ()
    errors: tuple[InternalError, ...] = ()
    not_asked: Mapping[str, str] = field(default_factory=Evidence)
    notes: tuple[str, ...] = ()
    unreadable: str | None = None
    sources: Mapping[tuple[str | None, int | None], str] = field(default_factory=dict, repr=False, compare=False)

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    def exit_code(self, fail_on: FailOn = "error") -> int:
        """0 clean, 1 findings at or above `fail_on`, 2 unreadable subject, 3 internal error."""
        if self.errors:
            return EXIT_INTERNAL
        if self.unreadable is not None:
            return EXIT_USAGE
        if fail_on != "never" and any(finding.at_least(fail_on) for finding in self.findings):
            return EXIT_FINDINGS
        return EXIT_CLEAN

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "findings": [finding.to_dict() for finding in self.findings],
            "errors": [{"origin": e.origin, "message": e.message} for e in self.errors],
            "not_asked": dict(self.not_asked),
            "notes": list(self.notes),
            "unreadable": self.unreadable,
        }


def exit_code(reports: Iterable[Report], fail_on: FailOn = "error") -> int:
    """The exit code of several reports together: the highest of theirs."""
    return max((report.exit_code(fail_on) for report in reports), default=EXIT_CLEAN)
