"""How `trainguard config show` and the page of all fields are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainguard.facts.config.aliases import ALIASES
from trainguard.facts.config.fields import Field, blocks, fields
from trainguard.facts.config.judging import shown_value
from trainguard.facts.config.records import ConfigFacts, Setting
from trainguard.report.visible import visible
from trainguard.rules.config._wording import message

_HIDDEN = "(hidden)"
_SECRET = re.compile(r"token|secret|password|passwd|api_?key|url|webhook", re.IGNORECASE)
_WIDEST_VALUE = 40


def shown_text(facts: ConfigFacts, *, only_given: bool, width: int | None) -> str:
    """A table of fields, values and origins, the problems below it."""
    settings = [each for each in facts.settings if not only_given or each.origin != "default"]
    rows = [(each.name, _value(each), _origin(each, facts)) for each in settings]
    names = max((len(row[0]) for row in rows), default=0)
    values = min(max((len(row[1]) for row in rows), default=0), _WIDEST_VALUE)
    lines = [visible(f"{name.ljust(names)}  {value.ljust(values)}  {origin}".rstrip()) for name, value, origin in rows]
    if width is not None:
        lines = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]
    if facts.unused:
        lines += ["", f"Accepted and not used: {visible(', '.join(facts.unused))}."]
    if facts.problems:
        count = len(facts.problems)
        lines += ["", f"{count} problem{'s' if count > 1 else ''}:"]
        lines += [visible(f"  {message(problem, facts)}") for problem in facts.problems]
    return "\n".join(lines) + "\n"


def shown_json(facts: ConfigFacts, *, only_given: bool) -> dict[str, Any]:
    """The same for programs."""
    rows: list[dict[str, Any]] = []
    for each in facts.settings:
        if only_given and each.origin == "default":
            continue
        row: dict[str, Any] = {"field": each.name, "value": _plain(each), "origin": each.origin, "valid": each.valid}
        more = {
            "key": each.key if each.key != each.name else None,
            "source": each.source,
            "line": each.line,
            "column": each.column,
            "why": each.derived,
        }
        rows.append({**row, **{name: value for name, value in more.items() if value is not None}})
    return {
        "config": facts.path,
        "fields": rows,
        "unused": list(facts.unused),
        "problems": [message(problem, facts) for problem in facts.problems],
    }


def _plain(setting: Setting) -> Any:
    if setting.secret and setting.origin != "default":
        return _HIDDEN
    return _without_secrets(setting.value)


def _without_secrets(value: Any) -> Any:
    """Free tables may hold a token (`trainer_arguments.hub_token`)."""
    if isinstance(value, Mapping):
        return {key: _HIDDEN if _SECRET.search(str(key)) else _without_secrets(item) for key, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _value(setting: Setting) -> str:
    if not setting.valid:
        return "(see below)"
    plain = _plain(setting)
    return plain if plain == _HIDDEN else shown_value(plain)


def _origin(setting: Setting, facts: ConfigFacts) -> str:
    if setting.origin == "default":
        return f"default: {setting.derived}" if setting.derived else "default"
    if setting.source is not None:
        return setting.source
    spelled = f", as {setting.key}" if setting.key != setting.name else ""
    place = f":{setting.line}:{setting.column}" if setting.line is not None else ""
    return f"{facts.path or 'text'}{place}{spelled}"


def reference_page(note: str) -> str:
    """docs/config.md: every field with its unit, range, default and the reason for it."""
    lines = [
        note,
        "",
        "# The configuration of a guarded run",
        "",
        "In TOML, YAML or JSON. `trainguard init` writes one, `trainguard check CONFIG` checks it, `trainguard config "
        "show CONFIG` prints its effective values and where each came from, `trainguard config schema` the JSON Schema "
        "for editors. Relative paths count from the folder of the file.",
        "",
        "A flag (`--set lora.r=8`) goes before the environment (`TRAINGUARD_LORA_R=8`), that before the file, that "
        "before the default. YAML is read by version 1.2: `1e-5` is a number and `no` a word.",
        "",
    ]
    by_block: dict[str, list[Field]] = {"": []}
    for field in fields().values():
        by_block.setdefault(field.name.rpartition(".")[0], []).append(field)
    for block, own in by_block.items():
        lines += [f"## {block}" if block else "## The run", ""]
        if block:
            lines += [blocks()[block], ""]
        lines += ["| field | what it is | takes | default | why |", "|---|---|---|---|---|"]
        lines += [_row(field) for field in own]
        lines.append("")
    lines += [
        "## Other spellings",
        "",
        "Those of the Trainer and TRL, and of the origin's config.json, mean the same. Two spellings that disagree are "
        "a problem (CFG004).",
        "",
        "| key | means |",
        "|---|---|",
        *(f"| `{alias}` | `{meant.name}` |" for alias, meant in sorted(ALIASES.items())),
        "",
    ]
    return "\n".join(lines)


def _row(field: Field) -> str:
    unit = f" In {field.note['unit']}." if field.note["unit"] else ""
    takes = field.expected
    if field.note["because"]:
        takes += f"; {field.note['because']}"
    cells = (
        f"`{field.name.rpartition('.')[2]}`",
        f"{field.description}{unit}",
        takes,
        f"`{shown_value(field.default)}`",
        field.note["default"],
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
