"""Reads the configuration of a guarded run: JSON, TOML or YAML, a text or a mapping. Never raises for its content."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from trainguard.facts.config.assembling import assemble
from trainguard.facts.config.given import Statements
from trainguard.facts.config.json_text import parse_json
from trainguard.facts.config.judging import shown_node
from trainguard.facts.config.node import MAX_BYTES, InvalidDocumentError, Node, from_python
from trainguard.facts.config.records import ConfigFacts, ConfigFormat, ConfigProblem, Named, ProblemKind, Reference
from trainguard.facts.config.references import nearest_file, references
from trainguard.facts.config.toml_text import parse_toml
from trainguard.facts.config.yaml_text import parse_yaml

__all__ = ["ConfigFacts", "Named", "Reference", "read_config"]

# The names that `trainguard init` writes and the origin uses, looked for where a folder is named.
FILE_NAMES = ("trainguard.toml", "trainguard.yaml", "trainguard.yml", "trainguard.json", "config.json")
_SUFFIXES: Mapping[str, ConfigFormat] = {".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}
# Lines that may hold one: an address with a token in it, or a key by such a name.
_SECRET = re.compile(r"://|url|webhook|token|secret|passw|api_?key|credential", re.IGNORECASE)
_MISSING = ConfigProblem(
    kind="missing",
    got="no file",
    expected="a configuration in JSON, TOML or YAML",
    because="nothing can be trained without one",
)
# Keys of the config.json that transformers and peft save beside weights; a run has none of them.
_MODEL_KEYS = {"model_type", "architectures", "transformers_version", "peft_type"}


def read_config(
    source: Path | str | Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> ConfigFacts:
    """The configuration at a path, in a text, or in a mapping, with everything that is wrong with it.

    A string is a text where it has several lines or begins with a brace, else a path; a folder stands for the
    configuration in it. `environment` are variables among which those are taken that name a field
    (TRAINGUARD_LEARNING_RATE); `flags` values by dotted name. Flags go before the environment, that before the file.
    Relative paths count from the folder of the file, in a text or a mapping from the current one.
    """
    folder = Path()
    if isinstance(source, Mapping):
        facts = ConfigFacts(format="mapping")
        root, problems = _parsed(lambda: (from_python(source), []))
    elif isinstance(source, str) and _is_text(source):
        facts = ConfigFacts(format=format_of(source), text=source)
        root, problems = _parse(source, facts.format)
    else:
        path, looked = _in_folder(Path(source))
        if looked:
            return ConfigFacts(path=str(path), looked=looked, problems=(_MISSING,))
        folder = path.parent
        facts, data, problem = _read(path)
        if problem is not None:
            return replace(facts, problems=(problem,))
        text, problems = _decoded(data)
        if text is None:
            return replace(facts, problems=tuple(problems))
        facts = replace(facts, text=text, format=_SUFFIXES.get(path.suffix.lower()) or format_of(text))
        root, more = _parse(text, facts.format)
        problems += more
    return _judged(facts, root, problems, folder, environment or {}, flags or {})


def _judged(
    facts: ConfigFacts,
    root: Node | None,
    problems: list[ConfigProblem],
    folder: Path,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
) -> ConfigFacts:
    if root is not None and not root.is_table:
        got = shown_node(root)
        problem = _invalid("invalid", got, "keys and values", "fields have names", root.line, root.column)
        return replace(facts, problems=(*problems, problem))
    if root is not None and (model_keys := sorted(_MODEL_KEYS & {entry.key for entry in root.entries})):
        entry = next(each for each in root.entries if each.key == model_keys[0])
        problem = ConfigProblem(
            kind="unknown-key",
            key=entry.key,
            got=f"the configuration of a model (it has {' and '.join(model_keys)})",
            expected="that of a run",
            because="a run names its model as base_model; `trainguard init --model DIR` writes one",
            line=entry.line,
            column=entry.column,
        )
        return replace(facts, problems=(*problems, problem))
    if root is None:
        return replace(facts, problems=tuple(problems))
    statements = Statements()
    statements.read_file(root)
    statements.read_environment(environment)
    statements.read_flags(flags)
    settings, found, run = assemble(statements)
    return replace(
        facts,
        settings=settings,
        problems=(*problems, *found),
        unused=tuple(statements.unused),
        run=run if not problems else None,
        named=references(settings, folder),
    )


def _is_text(source: str) -> bool:
    return "\n" in source or source.lstrip().startswith("{")


def format_of(text: str) -> ConfigFormat:
    """What a text without a name seems to be written in: TOML has `key = value` or [tables], JSON braces."""
    head = text.lstrip("\ufeff \t\r\n")
    if head.startswith("{"):
        return "json"
    for line in head.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            before, equals, _ = stripped.partition("=")
            is_toml = stripped.startswith("[") or (bool(equals) and ":" not in before)
            return "toml" if is_toml else "yaml"
    return "yaml"


def _in_folder(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The configuration that a folder holds, or the path as it is; and the names looked for in vain in a folder."""
    try:
        if not path.is_dir():
            return path, ()
        found = next((path / name for name in FILE_NAMES if (path / name).is_file()), None)
    except (OSError, ValueError):
        return path, ()
    return (found, ()) if found is not None else (path, FILE_NAMES)


def _read(path: Path) -> tuple[ConfigFacts, bytes, ConfigProblem | None]:
    """The bytes of a file, or why there are none. Only regular files are opened: a pipe would never end."""
    facts = ConfigFacts(path=str(path), format=_SUFFIXES.get(path.suffix.lower(), "json"))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            got = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
            return facts, b"", _invalid("unreadable", got, "a file", "only a file can be read twice", None, None)
        if status.st_size > MAX_BYTES:
            return facts, b"", _too_large(status.st_size)
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        nearest = nearest_file(path)
        looked = (str(path),)
        return replace(facts, looked=looked, nearest=nearest), b"", replace(_MISSING, suggestion=nearest)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        because = f"the system says: {reason}"
        return facts, b"", _invalid("unreadable", "a file that cannot be read", "a readable file", because, None, None)
    return facts, data, _too_large(len(data)) if len(data) > MAX_BYTES else None


def _too_large(size: int) -> ConfigProblem:
    expected = f"at most {MAX_BYTES // 1024} KiB"
    return _invalid("unreadable", f"{size:,} bytes", expected, "a configuration is short; is this data?", None, None)


def _decoded(data: bytes) -> tuple[str | None, list[ConfigProblem]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or data[:2].count(0) == 1:
        because = "JSON, TOML and YAML files are in UTF-8; save it so in your editor"
        return None, [_invalid("invalid", "UTF-16", "UTF-8", because, 1, 1)]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        got = f"the byte 0x{data[error.start]:02x}"
        return None, [_invalid("invalid", got, "UTF-8", "no character is written so", line, column)]


def _parse(text: str, kind: ConfigFormat) -> tuple[Node | None, list[ConfigProblem]]:
    if kind == "json":
        root, problems = _parsed(lambda: parse_json(text))
    else:
        root, problems = _parsed(lambda: (parse_toml(text) if kind == "toml" else parse_yaml(text), []))
    lines = text.split("\n")
    return root, [_without_secret(problem, lines) for problem in problems]


def _parsed(parse: Callable[[], tuple[Node, list[InvalidDocumentError]]]) -> tuple[Node | None, list[ConfigProblem]]:
    root: Node | None = None
    try:
        root, faults = parse()
    except InvalidDocumentError as error:
        faults = [error]
    return root, [_invalid("invalid", e.got, e.expected, e.because, e.line, e.column) for e in faults]


def _without_secret(problem: ConfigProblem, lines: list[str]) -> ConfigProblem:
    """What stands at the place of a problem is shown, unless the line may hold an address or a password."""
    line = lines[problem.line - 1] if problem.line is not None and problem.line <= len(lines) else ""
    if not _SECRET.search(line) and not _SECRET.search(problem.got):
        return problem
    return replace(problem, got="a text that is not shown", expected=f"valid {_a_kind(problem.expected)}")


def _a_kind(expected: str) -> str:
    return expected if expected in ("TOML", "YAML") else "syntax"


def _invalid(
    kind: ProblemKind, got: str, expected: str, because: str, line: int | None, column: int | None
) -> ConfigProblem:
    return ConfigProblem(kind=kind, got=got, expected=expected, because=because, line=line, column=column)
