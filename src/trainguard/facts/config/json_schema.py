"""The JSON Schema of a configuration, for editors that complete and check while one types.

It never refuses what reading accepts: other spellings and comments are part of it. What it cannot say (fields that
disagree, models that are not there) is left to `trainguard check`.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from trainguard.facts.config.aliases import ALIASES, UNUSED
from trainguard.facts.config.fields import Field, fields
from trainguard.facts.config.judging import RUN_CODES, shown_value
from trainguard.facts.config.schema import RunConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_COMMENTS = r"^(_|//|#|x-|\$schema)"
_FLAG = {"type": ["boolean", "null"]}


def json_schema() -> dict[str, Any]:
    """The schema as a plain dict."""
    made = msgspec.json.schema(RunConfig)
    definitions: dict[str, dict[str, Any]] = made["$defs"]
    root = definitions.pop("RunConfig")
    refs = {name: each["$ref"] for name, each in root["properties"].items() if "$ref" in each}
    blocks = {name: definitions[ref.rpartition("/")[2]] for name, ref in refs.items()}
    for field in fields().values():
        block, _, last = field.name.rpartition(".")
        _complete((blocks[block] if block else root)["properties"], last, field)
    for alias, meant in ALIASES.items():
        block, _, last = alias.rpartition(".")
        (blocks[block] if block else root)["properties"][last] = _spelling(root, blocks, alias, meant.name)
    for name in sorted(UNUSED):
        root["properties"][name] = {"description": "A key of the origin's daemon; accepted, and not used."}
    for name, block_schema in blocks.items():
        block_schema["patternProperties"] = {_COMMENTS: {}}
        block_schema.pop("required", None)
        note = root["properties"][name].get("description", "")
        ref = root["properties"][name]["$ref"]
        root["properties"][name] = {"description": note, "anyOf": [{"$ref": ref}, {"type": "null"}]}
    root.pop("required", None)
    sources = ("base_model", *(alias for alias, meant in ALIASES.items() if meant.name == "base_model"), "model_name")
    return {
        "$schema": DIALECT,
        **root,
        "title": "A guarded run of trainguard",
        "patternProperties": {_COMMENTS: {}},
        "anyOf": [{"required": [name]} for name in sources],
        "$defs": dict(sorted(definitions.items())),
    }


def _complete(properties: dict[str, dict[str, Any]], name: str, field: Field) -> None:
    """Adds what msgspec does not know of a field: unit, reason of the default, examples, steps."""
    schema = properties[name]
    note = field.note
    unit = f" In {note['unit']}." if note["unit"] else ""
    default = f" Default: {shown_value(field.default)}. {note['default']}" if note["default"] else ""
    schema["description"] = f"{field.description}{unit}{default}"
    if note["example"] is not None:
        schema["examples"] = [note["example"]]
    if note["secret"]:
        schema.pop("default", None)
    if note["steps"]:
        # Below 1 a share, from 1 a whole number of steps.
        schema["allOf"] = [{"anyOf": [{"type": "null"}, {"exclusiveMaximum": 1}, {"multipleOf": 1}]}]
    if note["codes"]:
        schema["propertyNames"] = {"enum": list(RUN_CODES)}
    if field.name == "max_steps":
        schema["anyOf"] = [*schema["anyOf"], {"const": -1}]


def _spelling(root: dict[str, Any], blocks: dict[str, dict[str, Any]], alias: str, name: str) -> dict[str, Any]:
    if ALIASES[alias].flag is not None:
        return {"description": f"Another way to set {name}.", **_FLAG}
    block, _, last = name.rpartition(".")
    schema: dict[str, Any] = copy.deepcopy((blocks[block] if block else root)["properties"][last])
    schema.pop("default", None)
    schema["description"] = f"Another spelling of {name}. {schema['description']}"
    if alias == "warmup_ratio":
        schema.pop("allOf", None)
        schema["exclusiveMaximum"] = 1
    return schema
