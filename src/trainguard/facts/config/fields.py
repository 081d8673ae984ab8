"""The fields of the schema one by one, under their dotted names, and what each expects, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec import NODEFAULT, inspect

from trainguard.facts.config.schema import RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field: its dotted name, msgspec's type, its default, and the note of `schema_notes.about`."""

    name: str
    type: inspect.Type
    default: Any
    description: str
    note: Mapping[str, Any]

    @property
    def environment(self) -> str:
        """The variable that sets it: TRAINGUARD_LORA_R."""
        return "TRAINGUARD_" + self.name.upper().replace(".", "_")

    @property
    def nullable(self) -> bool:
        return isinstance(self.type, inspect.UnionType) and any(
            isinstance(each, inspect.NoneType) for each in self.type.types
        )

    @property
    def alternatives(self) -> tuple[inspect.Type, ...]:
        """The types that it takes, null left out."""
        each = self.type.types if isinstance(self.type, inspect.UnionType) else (self.type,)
        return tuple(bare(one) for one in each if not isinstance(one, inspect.NoneType))

    @property
    def expected(self) -> str:
        """What it takes, in words: `a whole number of 1 or more`."""
        if self.note["steps"]:
            text = "a whole number of steps, or a share of the run below 1"
        else:
            text = " or ".join(in_words(each) for each in self.alternatives)
        return text + (" or null" if self.nullable and self.note["nulls"] else "")


def bare(kind: inspect.Type) -> inspect.Type:
    """The type without notes around it."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


@cache
def fields() -> Mapping[str, Field]:
    """All fields by dotted name, in the schema's order."""
    return {field.name: field for field in _flattened(inspect.type_info(RunConfig), "")}


@cache
def blocks() -> Mapping[str, str]:
    """The tables inside the configuration: name to description."""
    info = inspect.type_info(RunConfig)
    assert isinstance(info, inspect.StructType)
    return {
        each.name: str((each.type.extra_json_schema or {}).get("description", ""))
        for each in info.fields
        if isinstance(each.type, inspect.Metadata) and isinstance(bare(each.type), inspect.StructType)
    }


def _flattened(struct: inspect.Type, prefix: str) -> list[Field]:
    assert isinstance(struct, inspect.StructType)
    found: list[Field] = []
    for each in struct.fields:
        assert isinstance(each.type, inspect.Metadata)  # a test asserts that every field has its note
        kind = bare(each.type)
        if isinstance(kind, inspect.StructType):
            found += _flattened(kind, f"{prefix}{each.name}.")
            continue
        default = each.default if each.default is not NODEFAULT else each.default_factory()
        found.append(
            Field(
                name=prefix + each.name,
                type=kind,
                default=default,
                description=str((each.type.extra_json_schema or {}).get("description", "")),
                note=each.type.extra or {},
            )
        )
    return found


def in_words(kind: inspect.Type) -> str:
    """What a type takes, in words."""
    kind = bare(kind)
    if isinstance(kind, inspect.IntType):
        return "a whole number" + _range(kind)
    if isinstance(kind, inspect.FloatType):
        return "a number" + _range(kind)
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(map(str, kind.values))}"
    if isinstance(kind, inspect.ListType):
        return "a list of texts"
    return "a table" if isinstance(kind, inspect.DictType) else "a text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    low, high = kind.ge, kind.le
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    if low is not None:
        return f" of {low:,} or more" + (f" and below {kind.lt:,}" if kind.lt is not None else "")
    if kind.gt is not None:
        return f" above {kind.gt:,}" + (f" and below {kind.lt:,}" if kind.lt is not None else "")
    return ""
