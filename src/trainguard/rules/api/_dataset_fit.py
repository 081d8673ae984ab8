"""Whether the columns of a dataset are what a trainer reads, and what would make them so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from trainguard.facts.columns_schema import Columns
from trainguard.libraries.dataset_formats import IMAGE_COLUMNS, ColumnKind, Format

# Names that people give to what trainers know under another one.
_SAME_THING: dict[str, tuple[str, ...]] = {
    "prompt": ("question", "instruction", "query", "input", "problem", "user", "inputs"),
    "completion": ("answer", "response", "output", "target", "solution", "assistant", "completions", "outputs"),
    "chosen": ("preferred", "accepted", "winner", "better", "chosen_response", "positive"),
    "rejected": ("dispreferred", "loser", "worse", "rejected_response", "negative"),
    "messages": ("conversation", "chat", "dialog", "dialogue", "conversations"),
    "text": ("content", "texts", "document", "body", "formatted", "full_text"),
    "label": ("labels", "is_good", "good", "thumbs_up"),
}
_HELD: dict[ColumnKind, str] = {
    "text": "text",
    "number": "numbers",
    "chat": "lists of role and content",
    "turns": "lists of from and value",
    "list": "lists",
}
_MAX_NAMED = 8


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why the trainer fails on a table: what is wrong with it, and what to do, both as parts of a sentence."""

    problem: str
    advice: str


def misfit(
    wanted: Format, table: Columns, *, text_field: str | None = "text", formatted: bool = False
) -> Misfit | None:
    """What `wanted` certainly fails on in `table`; None where it fits or where that cannot be told.

    `text_field` is the column that is read as text (None: not known), `formatted` whether a function makes it.
    """
    if any(table.has(name) is not False for name in IMAGE_COLUMNS) and (table.closed or wanted.companions):
        return None
    if any(_may_have_all(table, layout) for layout in wanted.tokenized):
        return None
    if (found := _lonely_companion(wanted, table, formatted=formatted)) is not None:
        return found
    if (found := _mixed_kinds(wanted, table)) is not None:
        return found
    if formatted:
        return None
    if text_field != "text":
        if text_field is None and any("text" in layout for layout in wanted.layouts):
            return None
        wanted = _with_text_field(wanted, text_field or "text")
    return _no_layout(wanted, table)


def _with_text_field(wanted: Format, name: str) -> Format:
    layouts = tuple((name,) if layout == ("text",) else layout for layout in wanted.layouts)
    return replace(wanted, layouts=layouts)


def _may_have_all(table: Columns, names: tuple[str, ...]) -> bool:
    return all(table.has(name) is not False for name in names)


def _lonely_companion(wanted: Format, table: Columns, *, formatted: bool) -> Misfit | None:
    for first, second in wanted.companions:
        if table.has(first) is True and table.has(second) is False:
            beside = [name for name in ("messages", "text", "conversations") if table.has(name) is True]
            besides = f" beside `{beside[0]}`" if beside else ""
            problem = (
                f"has `{first}`{besides} and no `{second}`: {wanted.trainer} reads `{second}` wherever there is a "
                f"`{first}`, so it ends with a KeyError"
            )
            renames = _renames((second,), table)
            if formatted:
                makes_text = f'make `text` with map() and remove_columns="{first}" in place of formatting_func'
                return Misfit(problem, makes_text)
            if beside:
                return Misfit(problem, f'drop it with remove_columns("{first}")')
            return Misfit(
                problem, _rename_text(renames) if renames else f"add `{second}`, or make `messages` with map()"
            )
    return None


def _mixed_kinds(wanted: Format, table: Columns) -> Misfit | None:
    """`prompt` of text joined to a `completion` of messages, or the other way round."""
    kinds = {name: table.present.get(name) for name in wanted.same_kind if table.has(name) is True}
    if (
        len(kinds) < 2
        or "prompt" not in kinds
        or not all(kind in ("text", "chat", "number") for kind in kinds.values())
    ):
        return None
    for one, other in pairwise(kinds):
        a, b = kinds[one], kinds[other]
        if a is not None and b is not None and a != b:
            problem = (
                f"has {_HELD[a]} in `{one}` and {_HELD[b]} in `{other}`: {wanted.trainer} joins the two, so it ends "
                "with a TypeError"
            )
            return Misfit(problem, "write both as text or both as lists of role and content")
    return None


def _no_layout(wanted: Format, table: Columns) -> Misfit | None:
    kinds = dict(wanted.kinds)
    wrong: list[str] = []
    for layout in wanted.layouts:
        lacking = [name for name in layout if table.has(name) is False]
        misused = [name for name in layout if _holds_another(table, name, kinds)]
        if not lacking and not misused:
            return None
        wrong += misused
    advice = _advice(wanted, table)
    if wrong:
        held = table.present[wrong[0]]
        assert held is not None
        problem = f"holds {_HELD[held]} in `{wrong[0]}`, where {wanted.trainer} {_reads(wrong[0])}"
        return Misfit(
            f"{problem}, and has none of its other layouts ({wanted.wanted}): the run ends before its first step",
            advice,
        )
    has = f"has {_named(table)}" if table.closed else f"has no {_missing(wanted, table)}"
    return Misfit(f"{has}, and {wanted.trainer} reads {wanted.wanted}: the run ends before its first step", advice)


def _holds_another(table: Columns, name: str, kinds: Mapping[str, frozenset[ColumnKind]]) -> bool:
    kind = table.present.get(name)
    return name in kinds and kind is not None and kind not in kinds[name]


def _reads(name: str) -> str:
    return "reads lists of from and value" if name == "conversations" else "reads lists of role and content"


def _named(table: Columns) -> str:
    names = [f"`{name}`" for name in table.present]
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    word = "only the column" if len(names) == 1 else "the columns"
    return f"{word} {', '.join(names[:_MAX_NAMED])}{more}" if names else "no columns"


def _missing(wanted: Format, table: Columns) -> str:
    names = dict.fromkeys(n for layout in wanted.written_layouts for n in layout if table.has(n) is False)
    return " and no ".join(f"`{name}`" for name in names)


# -- what would help -------------------------------------------------------------


def _advice(wanted: Format, table: Columns) -> str:
    if "messages" in table.present and table.present["messages"] == "text":
        return "parse it with map(), or give the column that holds the text as `text`"
    if table.present.get("conversations") == "chat":
        return 'rename it with rename_column("conversations", "messages")'
    for layout in sorted(wanted.written_layouts, key=len, reverse=True):
        renames = _renames(layout, table)
        if renames:
            return _rename_text(renames)
    layout = max(wanted.written_layouts, key=lambda names: sum(table.has(name) is True for name in names))
    return f"make {' and '.join(f'`{name}`' for name in layout)} with map(), or rename the columns that hold them"


def _renames(layout: tuple[str, ...], table: Columns) -> dict[str, str] | None:
    """The renamings after which all columns of a layout are there; None where names do not tell."""
    found: dict[str, str] = {}
    for name in layout:
        if table.has(name) is True:
            continue
        candidates = [
            other for other in _SAME_THING.get(name, ()) if _can_be(table, other, name) and other not in found
        ]
        if len(candidates) != 1:
            return None
        found[candidates[0]] = name
    return found or None


def _can_be(table: Columns, name: str, wanted: str) -> bool:
    return table.has(name) is True and not (wanted == "messages" and table.present[name] in ("text", "number"))


def _rename_text(renames: dict[str, str]) -> str:
    if len(renames) == 1:
        ((old, new),) = renames.items()
        return f'rename it with rename_column("{old}", "{new}")'
    listed = ", ".join(f'"{old}": "{new}"' for old, new in renames.items())
    return f"rename them with rename_columns({{{listed}}})"
