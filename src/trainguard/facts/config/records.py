"""What is read of the configuration of a guarded run: its values, where each came from, and everything wrong with it.

Lines and columns count from 1, columns in characters. Names of fields are dotted: `learning_rate`, `lora.r`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from trainguard.facts.config.schema import RunConfig

ConfigFormat: TypeAlias = Literal["json", "toml", "yaml", "mapping"]
Origin: TypeAlias = Literal["file", "environment", "flag", "default"]
ProblemKind: TypeAlias = Literal[
    "missing",  # there is no such file
    "unreadable",  # no regular file, no permission, too large
    "invalid",  # not JSON, TOML or YAML, or not a table
    "unknown-key",
    "out-of-range",  # wrong type, outside of the range, missing, two values for one field
]
# What a name of a model or a file is: "local" lies there; "missing" is a path where nothing lies, or a name that no
# repository of the hub can have; "hub" may be an id of the hub, which cannot be told offline.
ReferenceKind: TypeAlias = Literal["local", "missing", "hub"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One thing wrong with a configuration, in the parts of its message.

    `field` is the canonical name, None for a problem of the whole file; `key` what the user wrote. `got` is shown
    as written there, or hidden for a secret. `origin` and `source` say where the value came from, as in `Setting`.
    """

    kind: ProblemKind
    got: str
    expected: str
    because: str
    field: str | None = None
    key: str | None = None
    line: int | None = None
    column: int | None = None
    origin: Origin = "file"
    source: str | None = None
    suggestion: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One field with its effective value.

    `key` is the name that the user wrote, another spelling perhaps; `source` the environment variable or flag.
    `derived` says why a default is another than the usual one. A `secret` is not to be printed. `valid` is False where
    a problem was found with the field: its value is the default then.
    """

    name: str
    value: Any
    origin: Origin
    key: str | None = None
    source: str | None = None
    line: int | None = None
    column: int | None = None
    derived: str | None = None
    secret: bool = False
    valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A thing on the disk or the hub that the configuration names.

    `given` is what the user wrote, `path` the place that it means, relative ones taken from the folder of the
    configuration. `nearest` is what lies near a missing path, or an id of the hub that resembles a misspelt one;
    `because` says why nothing can be there.
    """

    field: str
    given: str
    kind: ReferenceKind
    path: Path | None = None
    nearest: str | None = None
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a configuration names. None where it names nothing of the kind, or the value is no text."""

    base_model: Reference | None = None
    tokenizer: Reference | None = None
    data: tuple[Reference, ...] = ()
    eval_data: Reference | None = None
    output_dir: Path | None = None
    inbox: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFacts:
    """A configuration as it is. `path` is shown in findings, None for a mapping or a text.

    `settings` holds every field of the schema in the schema's order; `given` the names of those that the file, the
    environment or a flag states. `unused` are keys that are accepted though nothing reads them (those of the origin's
    daemon). `run` is the typed configuration, None where a problem stands against it. `looked` are the places where a
    missing file was looked for.
    """

    path: str | None = None
    format: ConfigFormat = "mapping"
    text: str | None = None
    settings: tuple[Setting, ...] = ()
    problems: tuple[ConfigProblem, ...] = ()
    unused: tuple[str, ...] = ()
    run: RunConfig | None = None
    named: Named = field(default_factory=Named)
    looked: tuple[str, ...] = ()
    nearest: str | None = None

    @property
    def by_name(self) -> Mapping[str, Setting]:
        return {setting.name: setting for setting in self.settings}

    def setting(self, name: str) -> Setting | None:
        """The field of this dotted name, None where the configuration could not be read."""
        return next((setting for setting in self.settings if setting.name == name), None)

    def value(self, name: str) -> Any:
        """The effective value of a field, None where it has none or a problem stands against it."""
        setting = self.setting(name)
        return setting.value if setting is not None and setting.valid else None

    def of_kind(self, *kinds: ProblemKind) -> tuple[ConfigProblem, ...]:
        return tuple(problem for problem in self.problems if problem.kind in kinds)
