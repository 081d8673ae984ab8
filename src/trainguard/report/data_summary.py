"""What the reports about training data have in common: words, numbers and groups, out of the plain summary.

A summary is the dict that docs/json.md describes under "Training data". A place is never drawn from here: findings have
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Summary: TypeAlias = Mapping[str, Any]

_FORMATS = {"jsonl": "JSON Lines", "json": "JSON array", "parquet": "Parquet", "csv": "CSV", "text": "plain text"}
_LAYOUTS = {
    "messages": "chat (messages)",
    "sharegpt": "chat (ShareGPT conversations)",
    "prompt-completion": "prompt and completion",
    "text": "text",
    "preference": "preference pairs",
    "kto": "prompt, completion and label (KTO)",
    "prompt": "prompts",
    "tokens": "token ids",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: what it stands for, its number, and its share (0 to 1) of the whole."""

    label: str
    number: int
    share: float


# -- words ---------------------------------------------------------------------------


def size_words(size: int) -> str:
    """Bytes in decimal units: `812 bytes`, `48.2 MB`, `1.02 GB`."""
    if size < 1000:
        return f"{size} byte{'s' if size != 1 else ''}"
    value, unit = _scaled(size, ("kB", "MB", "GB", "TB"))
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"


def percent_words(share: float) -> str:
    """A share of 0 to 1 as `12 %`, `1.4 %`, `< 0.1 %`; never rounded to nothing or to all."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    text = f"{percent:.1f}" if percent < 10 or percent > 99 else f"{percent:.0f}"
    return f"{text.removesuffix('.0')} %"


def count_words(number: int, noun: str) -> str:
    """`1 row`, `12,345 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rounded(number: float) -> str:
    """A large number in short: `950`, `12.3 k`, `4.1 M`, `2 G`."""
    if number < 1000:
        return f"{number:.0f}"
    value, unit = _scaled(number, ("k", "M", "G", "T"))
    return f"{value:.{0 if value >= 100 else 1}f}".removesuffix(".0") + f" {unit}"


def _scaled(number: float, units: tuple[str, ...]) -> tuple[float, str]:
    """`number` in the first unit in which it has at most three digits before the point."""
    power = 1
    while power < len(units) and number / 1000**power >= 999.5:
        power += 1
    return number / 1000**power, units[power - 1]


def format_words(data: Summary) -> str:
    """`JSON Lines, gzip`; several formats one after the other."""
    words = []
    for file in data["files"]:
        name = _FORMATS.get(file["format"] or "", "unknown format")
        words.append(f"{name}, {file['compression']}" if file["compression"] else name)
    return " and ".join(dict.fromkeys(words))


def layout_words(layout: str | None) -> str:
    """The name of a layout for people."""
    return _LAYOUTS.get(layout or "", layout or "no layout that a trainer knows")


def headline(data: Summary) -> list[str]:
    """The first line: rows, size, format, layout."""
    words = [count_words(data["rows"], "row"), size_words(data["bytes"])]
    if len(data["files"]) > 1:
        words.append(count_words(len(data["files"]), "file"))
    words += [format_words(data)] if data["files"] else []
    words += [layout_words(data["layout"])] if data["rows"] else []
    return [word for word in words if word]


def length_words(lengths: Mapping[str, Any], rows: int, tokenizer: str | None = None) -> str:
    """What the lengths are: `tokens, with the chat template`, `tokens by estimate, of 10,000 of 1.2 M rows`."""
    words = "tokens" if lengths["exact"] else "tokens by estimate (give --tokenizer for exact ones)"
    if lengths["exact"] and tokenizer:
        words += f" of {tokenizer}"
    if lengths["counted"] < rows:
        words += f", from {lengths['counted']:,} of {rows:,} rows"
    return words


def truncation_words(cut: Mapping[str, Any], rows: int) -> str:
    """`490 rows (4 %) are longer, 12 lose their whole answer; the longest has 9,204 tokens`."""
    if not cut["over"]:
        return f"no row is longer{'' if cut['exact'] else ', by estimate'}"
    words = f"{count_words(cut['over'], 'row')} ({percent_words(cut['over'] / max(rows, 1))})"
    words += " is longer" if cut["over"] == 1 else " are longer"
    if cut["lost_answers"]:
        words += f", {cut['lost_answers']:,} {'loses its' if cut['lost_answers'] == 1 else 'lose their'} whole answer"
    about = "" if cut["exact"] else "about "
    return f"{words}; the longest has {about}{cut['longest']:,} tokens"


def duplicate_words(duplicates: Mapping[str, Any], rows: int) -> str:
    """`12 rows repeat an earlier one (0.1 %); 40 of 12,345 resemble one`."""
    exact, near = duplicates["exact"], duplicates["near"]
    words = "no row repeats another"
    if exact:
        repeat = "repeats" if exact == 1 else "repeat"
        words = f"{count_words(exact, 'row')} {repeat} an earlier one ({percent_words(exact / max(rows, 1))})"
    if near is None:
        return words
    looked_at = duplicates["looked_at"]
    near_words = "none resembles" if not near else f"{near:,} {'resembles' if near == 1 else 'resemble'}"
    return f"{words}; {near_words} another, of {looked_at:,} looked at"


def leak_words(leak: Mapping[str, Any]) -> str:
    """`3 of 500 rows of eval.jsonl stand in the training data, 2 more nearly`."""
    of = f"{leak['eval_rows']:,} rows of {leak['eval_path']}"
    if not leak["exact"] and not leak["near"]:
        return f"none of {of} {'stands' if leak['near'] is None else 'stands or nearly stands'} in the training data"
    stand = "stands" if leak["exact"] == 1 else "stand"
    words = f"{leak['exact'] or 'none':,}" if leak["exact"] else "none"
    words += f" of {of} {stand if leak['exact'] else 'stands'} in the training data"
    return f"{words}, {leak['near']:,} nearly" if leak["near"] else words


def comparisons(data: Summary) -> list[tuple[str, str]]:
    """What was compared with what, as (heading, words): max_length, repeats, evaluation data."""
    found = []
    if (cut := data["truncation"]) is not None:
        found.append(("max_length", f"{cut['max_length']:,}: {truncation_words(cut, data['rows'])}"))
    if (duplicates := data["duplicates"]) is not None and data["rows"]:
        found.append(("Duplicates", duplicate_words(duplicates, data["rows"])))
    if (leak := data["leak"]) is not None:
        found.append(("Evaluation", leak_words(leak)))
    return found


# -- groups --------------------------------------------------------------------------


def bars_of(counts: Mapping[str, int], *, most: int = 8) -> list[Bar]:
    """The most frequent first; what is beyond `most` is one bar at the end."""
    whole = sum(counts.values()) or 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) > most:
        rest = ordered[most - 1 :]
        ordered = [*ordered[: most - 1], (f"{len(rest):,} more", sum(number for _, number in rest))]
    return [Bar(label, number, number / whole) for label, number in ordered]


def turn_bars(turns: Mapping[str, int], *, most: int = 8) -> list[Bar]:
    """Rows by number of messages: each number where they are few, else runs that grow (`5-8`, `9-16`)."""
    numbers = sorted((int(number), rows) for number, rows in turns.items())
    whole = sum(rows for _, rows in numbers) or 1
    if len(numbers) <= most:
        return [Bar(str(number), rows, rows / whole) for number, rows in numbers]
    groups: dict[tuple[int, int], int] = {}
    for number, rows in numbers:
        run = _run(number)
        groups[run] = groups.get(run, 0) + rows
    return [
        Bar(str(first) if first == last else f"{first}-{last}", rows, rows / whole)
        for (first, last), rows in sorted(groups.items())
    ]


def _run(number: int) -> tuple[int, int]:
    if number <= 4:
        return number, number
    first, last = 5, 8
    while number > last:
        first, last = last + 1, last * 2
    return first, last


def histogram_bins(lengths: Mapping[str, Any], *, most: int) -> list[tuple[int, int, int]]:
    """(first length, length after the last, rows), neighbours joined until there are at most `most`.

    Empty bins at both ends are left out.
    """
    bins = [(each["from"], each["to"], each["rows"]) for each in lengths["histogram"]]
    while bins and not bins[0][2]:
        bins.pop(0)
    while bins and not bins[-1][2]:
        bins.pop()
    step = -(-len(bins) // most) or 1
    return [
        (
            bins[start][0],
            bins[min(start + step, len(bins)) - 1][1],
            sum(rows for _, _, rows in bins[start : start + step]),
        )
        for start in range(0, len(bins), step)
    ]


def range_words(first: int, last: int) -> str:
    """`64-127` for lengths from `first` to before `last`."""
    return f"{first:,}" if last - first == 1 else f"{first:,}-{last - 1:,}"


def shares_over(lengths: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(max_length, share of rows that are longer), up to the first that cuts nothing."""
    found = []
    for tokens, share in lengths["over"].items():
        found.append((tokens, share))
        if not share:
            break
    return found


def cut_curve(lengths: Mapping[str, Any]) -> list[tuple[int, float]]:
    """(tokens, share of rows that are longer), in order of tokens, from the percentiles and the histogram."""
    points = {int(tokens): 1 - int(percent) / 100 for percent, tokens in lengths["percentiles"].items()}
    first = min(points, default=0)
    whole, seen = sum(each["rows"] for each in lengths["histogram"]) or 1, 0
    for each in lengths["histogram"]:
        seen += each["rows"]
        if each["to"] > first:
            points.setdefault(min(each["to"], max(lengths["longest"], 1)), 1 - seen / whole)
    curve, share = [], 1.0
    for tokens, longer in sorted(points.items()):
        share = min(share, longer)  # the two round differently
        curve.append((tokens, share))
    return curve


def columns_words(data: Summary, *, most: int = 12) -> list[str]:
    """`messages`, `tools (12 %)`: the columns, with their share where not every row has them."""
    rows = data["rows"] or 1
    ordered: Sequence[tuple[str, int]] = sorted(data["columns"].items(), key=lambda item: -item[1])
    words = [name if number >= rows else f"{name} ({percent_words(number / rows)})" for name, number in ordered[:most]]
    return [*words, f"{len(ordered) - most:,} more"] if len(ordered) > most else words
