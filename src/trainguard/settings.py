"""`[tool.trainguard]` of pyproject.toml: which rules are asked, how severe they are, what a job is by default.

Unknown keys and unknown codes are refused: a misspelt `ignore` that is silently dropped costs an
afternoon. A pyproject.toml without the table is passed over, as ruff does, so that a package inside
a larger repository may leave the table to the root.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from trainguard.errors import UsageError
from trainguard.findings import SEVERITIES, FailOn, Severity

FILE_NAME = "pyproject.toml"
FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)

_KEYS = ("select", "ignore", "per-file-ignores", "severity", "fail-on", "python-engine", "job")
JOB_KEYS = ("flavor", "timeout", "with", "env", "secrets", "image", "python")
_LISTS = {"with", "secrets"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `[tool.trainguard]` says. `path` is its file, None for the built-in settings.

    `job` holds defaults under the names of the command line's options, one of `JOB_KEYS`.
    """

    path: Path | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    per_file_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    severities: Mapping[str, Severity] = field(default_factory=dict)
    fail_on: FailOn = "error"
    python_engine: bool = True
    job: Mapping[str, Any] = field(default_factory=dict)


def find_settings_file(start: Path) -> Path | None:
    """The nearest pyproject.toml with a `[tool.trainguard]` table, in `start` or in a folder above it."""
    try:
        folder = start.resolve()
    except (OSError, RuntimeError):  # a symlink loop: the check itself will say so
        return None
    for parent in (folder, *folder.parents):
        candidate = parent / FILE_NAME
        if candidate.is_file() and _mentions_trainguard(candidate):
            return candidate
    return None


def load_settings(path: Path, *, required: bool = True) -> Settings:
    """Reads the table of `path`. Codes are not judged here, see `refuse_unknown_codes`.

    Raises UsageError, naming file and key, for a file that cannot be read, TOML that is malformed,
    a key that does not exist or a value of the wrong type. With `required`, a missing table is one too.
    """
    import tomllib  # 20 ms that only a project with settings pays

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: is not valid TOML: {error}") from None
    tool = document.get("tool")
    table = tool.get("trainguard") if isinstance(tool, dict) else None
    if table is None:
        if required:
            raise UsageError(f"{path}: has no [tool.trainguard] table; add one, or leave --config out")
        return Settings()
    return _Reader(path).settings(table)


def refuse_unknown_codes(codes: Iterable[str], known: Collection[str], *, origin: str) -> None:
    """Raises UsageError for a code that is neither a rule nor the beginning of one; `origin` says where it stands."""
    for code in codes:
        if code and any(name.startswith(code) for name in known):
            continue
        areas = {name.rstrip("0123456789") for name in known}
        alike = known if any(char.isdigit() for char in code) else areas
        close = _alike(code.upper(), sorted(alike))
        hint = f"did you mean {close[0]}?" if close else "`trainguard rules` lists them"
        raise UsageError(f"{origin}: there is no rule {code!r}; {hint}")


def refuse_unknown_settings_codes(settings: Settings, known: Collection[str]) -> None:
    """As `refuse_unknown_codes`, for all codes that a settings file names."""
    where = f"{settings.path}: [tool.trainguard]"
    refuse_unknown_codes(settings.select, known, origin=f"{where} select")
    refuse_unknown_codes(settings.ignore, known, origin=f"{where} ignore")
    for glob, codes in settings.per_file_ignores.items():
        refuse_unknown_codes(codes, known, origin=f"{where} per-file-ignores.{glob!r}")
    for code in settings.severities:
        if code not in known:
            refuse_unknown_codes([code], known, origin=f"{where} severity")
            raise UsageError(f"{where} severity: {code!r} names several rules; give each full code its own line")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Decodes one table by hand: every message names the file and the key as the user wrote them."""

    path: Path

    def settings(self, table: object) -> Settings:
        values = self._table("[tool.trainguard]", table, _KEYS)
        per_file = self._table("per-file-ignores", values.get("per-file-ignores", {}))
        severities = self._table("severity", values.get("severity", {}))
        return Settings(
            path=self.path,
            select=self._texts("select", values.get("select", [])),
            ignore=self._texts("ignore", values.get("ignore", [])),
            per_file_ignores={glob: self._texts(f"per-file-ignores.{glob!r}", c) for glob, c in per_file.items()},
            severities={code: self._choice(f"severity.{code}", s, SEVERITIES) for code, s in severities.items()},
            fail_on=self._choice("fail-on", values.get("fail-on", "error"), FAIL_ON),
            python_engine=self._boolean("python-engine", values.get("python-engine", True)),
            job=self._job(values.get("job", {})),
        )

    def _job(self, value: object) -> dict[str, Any]:
        job = self._table("job", value, JOB_KEYS)
        for key in job.keys() & _LISTS:
            job[key] = self._texts(f"job.{key}", job[key])
        if "env" in job:
            env = self._table("job.env", job["env"])
            job["env"] = {name: self._text(f"job.env.{name}", value) for name, value in env.items()}
        for key in job.keys() & {"flavor", "image", "python"}:
            job[key] = self._text(f"job.{key}", job[key])
        return job  # the timeout keeps its type: a number is seconds, and JOB021 judges the rest

    def _table(self, key: str, value: object, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(key, "a table", value)
        for name in value:
            if known is not None and name not in known:
                close = _alike(name.replace("_", "-"), known)
                hint = f"did you mean {close[0]!r}?" if close else f"it may be one of {', '.join(known)}"
                raise UsageError(f"{self.path}: {key} has no key {name!r}; {hint}")
        return dict(value)

    def _texts(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._wrong(key, "a list of texts", value)
        return tuple(self._text(key, item) for item in value)

    def _text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise self._wrong(key, "a text", value)
        return value

    def _boolean(self, key: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def _choice(self, key: str, value: object, choices: tuple[Any, ...]) -> Any:
        if value in choices:
            return value
        close = _alike(value, choices) if isinstance(value, str) else []
        expected = f"one of {', '.join(choices)}" + (f" (did you mean {close[0]!r}?)" if close else "")
        raise self._wrong(key, expected, value)

    def _wrong(self, key: str, expected: str, value: object) -> UsageError:
        return UsageError(f"{self.path}: {key} is {value!r}, expected {expected}")


def _mentions_trainguard(path: Path) -> bool:
    # Cheap enough to ask of every pyproject.toml on the way up; TOML is parsed only where it pays.
    try:
        if b"trainguard" not in path.read_bytes():
            return False
        return load_settings(path, required=False).path is not None
    except OSError:
        return False
    except UsageError:
        return True  # let `load_settings` say what is wrong with it


def _alike(word: str, words: Iterable[str]) -> list[str]:
    import difflib  # 6 ms that only a mistake pays

    return difflib.get_close_matches(word, list(words), n=1)
