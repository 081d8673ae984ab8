"""Reads training data of any size and any quality into facts. Nothing about the data raises: it becomes a problem."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from trainguard.facts.data.folders import shards_of
from trainguard.facts.data.formats import Kind, kind_of
from trainguard.facts.data.merging import Merger, Problems
from trainguard.facts.data.options import MAX_LINE_BYTES, Options
from trainguard.facts.data.pool import read_ranges
from trainguard.facts.data.probes import Searches, measures_lengths
from trainguard.facts.data.ranges import Range, open_regular
from trainguard.facts.data.records import DataFacts, DataFile, Layout, ProblemKind, Sample
from trainguard.facts.data.tokens import TEMPLATE_TOKENS, is_telling, special_tokens_of, template_roles

# Ranges are small enough for the workers to end together, and for their tallies to stay small; the files of a terabyte
# have no more than some thousands of them.
_RANGE_BYTES = 4 * 1024 * 1024
_MAX_RANGES = 4_000
_ORDER: tuple[ProblemKind, ...] = (
    "unreadable-input",
    "empty-file",
    "wrong-extension",
    "bad-encoding",
    "hostile-line",
    "malformed-json",
    "mixed-schemas",
    "messages-missing",
    "messages-empty",
    "content-not-string",
    "unknown-role",
    "no-assistant-turn",
    "role-order",
    "empty-content",
    "template-token-in-content",
)


class _File(NamedTuple):
    path: Path
    kind: Kind
    status: os.stat_result


def read_data(
    path: Path,
    *,
    max_length: int | None = None,
    tokenizer: Path | None = None,
    eval_path: Path | None = None,
    batch_size: int | None = None,
    format: str | None = None,  # noqa: A002 - as the command line names it
    sample: int | None = None,
    near_duplicates: bool = False,
    lengths: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> DataFacts:
    """What the file or the folder of shards holds.

    `max_length` is in tokens, counted with `tokenizer` (a folder) or estimated without; `sample` judges about so many
    rows spread over each file; `on_progress` is called with the bytes done and the bytes in all. `workers` is the
    number of processes for large files, by default that of the processors (at most 8).
    """
    options = Options(
        path=str(path),
        max_length=max_length,
        tokenizer=None if tokenizer is None else str(tokenizer),
        eval_path=None if eval_path is None else str(eval_path),
        batch_size=batch_size,
        format=format,
        sample=sample,
        near_duplicates=near_duplicates,
        lengths=lengths,
        max_line_bytes=max_line_bytes,
        tokens=TEMPLATE_TOKENS,
    )
    problems = Problems()
    notes: list[str] = []
    files = _files(path, format, problems, notes)
    return _merge(files, options, problems, notes, on_progress, workers)


def _files(path: Path, given: str | None, problems: Problems, notes: list[str]) -> list[_File]:
    """The files that are there and can be opened; what cannot be is a problem."""
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
        found = shards_of(path) if is_folder else None
    except (OSError, ValueError) as error:
        _unreadable(problems, path, error)
        return []
    if found is not None:
        notes += found.notes
        if not found.files:
            what = "a folder without data (.jsonl, .json, .parquet, .csv, .txt, also .gz and .zst)"
            problems.add("unreadable-input", Sample(path=str(path), detail=what), names={"no data": 1})
    files = []
    for each in found.files if found is not None else [path]:
        try:
            kind = kind_of(each, given)
            files.append(_File(each, kind, os.stat(each)))
        except (OSError, ValueError) as error:
            _unreadable(problems, each, error)
    return files


def _unreadable(problems: Problems, path: Path, error: Exception) -> None:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    problems.add("unreadable-input", Sample(path=str(path), detail=why), names={why[:80]: 1})


def _merge(
    files: list[_File],
    options: Options,
    problems: Problems,
    notes: list[str],
    on_progress: Callable[[int, int], None] | None,
    workers: int | None,
) -> DataFacts:
    options, judge = _with_tokenizer(options, notes)
    in_lines = [file.kind.format == "jsonl" for file in files]
    merger = Merger([str(file.path) for file in files], in_lines, judge.refuses if judge is not None else None)
    merger.problems = problems
    try:
        searches = Searches(options)
        options = searches.options
        merger.near = searches.near
        parts: list[Range] = []
        owners: list[int] = []
        for index, file in enumerate(files):
            some = _parts(file, options, problems, notes)
            parts += some
            owners += [index] * len(some)
        total = sum(file.status.st_size for file in files)
        done = 0
        for at, tally, last in read_ranges(options, parts, evaluation=searches.evaluation, workers=workers):
            merger.add(owners[at], tally)
            if last:
                part = parts[at]
                done += part.size if part.end is None else part.end - part.start
                if on_progress is not None:
                    on_progress(min(done, total), total)
        _check_unchanged(files, merger, problems)
        _conclude_files(files, merger, problems)
        return _facts(files, options, merger, searches, notes, judged=judge is not None)
    finally:
        merger.duplicates.close()
        if judge is not None:
            judge.close()


class _TemplateJudge:
    """The chat template of the tokenizer, asked about one row of each pattern of roles."""

    def __init__(self, tokenizer: Path) -> None:
        from trainguard.facts.data.judging import Judge

        self._judge = Judge(tokenizer)

    @property
    def problem(self) -> str | None:
        return self._judge.problem

    def refuses(self, row: bytes) -> str | None:
        """The template's words, None where it takes the row or cannot tell (a row too long to be kept whole)."""
        try:
            decoded = msgspec.json.decode(row)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        return self._judge.refuses(decoded) if isinstance(decoded, dict) else None

    def close(self) -> None:
        self._judge.close()


def _with_tokenizer(options: Options, notes: list[str]) -> tuple[Options, _TemplateJudge | None]:
    """The options with what the tokenizer's folder says: its special tokens and the roles its template names."""
    if options.tokenizer is None:
        return options, None
    from trainguard.facts.data.tokenizer import read_tokenizer

    facts = read_tokenizer(Path(options.tokenizer))
    if facts.problem is not None:
        notes.append(f"the tokenizer cannot be used: {facts.problem}")
        return options, None
    judge = _TemplateJudge(Path(options.tokenizer))
    usable = judge.problem is None
    if not usable and facts.templates:
        notes.append(f"the chat template cannot be used: {judge.problem}")
    roles = template_roles(facts.templates.values()) if usable else ()
    known = {*facts.control_tokens, *special_tokens_of(Path(options.tokenizer, "tokenizer.json"))}
    options = msgspec.structs.replace(
        options,
        tokens=tuple(sorted(filter(is_telling, known))) or TEMPLATE_TOKENS,
        template=usable,
        roles=roles,
    )
    if not usable:
        judge.close()
        return options, None
    return options, judge


def _parts(file: _File, options: Options, problems: Problems, notes: list[str]) -> list[Range]:
    """The ranges of a file; none where it cannot be read, which is a problem then."""
    path, kind, size = str(file.path), file.kind, file.status.st_size
    if kind.wrong:
        problems.add("wrong-extension", Sample(path=path, detail=kind.wrong), names={kind.wrong: 1})
    if not size:
        return []
    if kind.encoding:
        what = f"the file is {kind.encoding}, not UTF-8"
        problems.add("bad-encoding", Sample(path=path, line=1, column=1, detail=what), names={kind.encoding: 1})
        return []
    if kind.refused or kind.format is None:
        why = kind.refused or "not a format of training data"
        problems.add("unreadable-input", Sample(path=path, detail=why), names={why[:80]: 1})
        return []
    if kind.format == "jsonl" and kind.compression is None:
        if options.sample is not None:
            return list(_sampled(path, size, options.sample, notes))
        step = max(_RANGE_BYTES, -(-size // _MAX_RANGES))
        return [Range(path=path, start=at, end=min(at + step, size), size=size) for at in range(0, size, step)]
    if options.sample is not None:
        notes.append(f"{path}: about the first {options.sample:,} rows were looked at")
    return [Range(path=path, size=size, format=kind.format, compression=kind.compression)]


_SAMPLE_BYTES = 16_384


def _sampled(path: str, size: int, rows: int, notes: list[str]) -> Iterator[Range]:
    """Ranges that hold about so many rows, spread evenly; between them lines are only counted."""
    try:
        descriptor = open_regular(path)
    except OSError:
        yield Range(path=path, end=size, size=size)
        return
    try:
        head = os.pread(descriptor, 1_000_000, 0)
    finally:
        os.close(descriptor)
    row_bytes = len(head) / max(1, head.count(b"\n"))
    pieces = max(1, min(_MAX_RANGES // 2, round(rows * row_bytes / _SAMPLE_BYTES)))
    if pieces * 2 * _SAMPLE_BYTES >= size:
        pieces, length = 1, size
    else:
        length = max(_SAMPLE_BYTES, round(rows * row_bytes / pieces))
        notes.append(f"{path}: about {rows:,} rows, spread over the file, were looked at")
    step = size / pieces
    for index in range(pieces):
        start, following = round(index * step), round((index + 1) * step)
        end = min(start + length, following)
        yield Range(path=path, start=start, end=end, size=size)
        if end < following:
            yield Range(path=path, start=end, end=following, size=size, count=True)


def _check_unchanged(files: list[_File], merger: Merger, problems: Problems) -> None:
    """A file that is another now than when it was first looked at has been read as something that never was."""
    for index, (path, _, before) in enumerate(files):
        try:
            now = os.stat(path)
        except OSError:
            what = f"changed while it was read: it had {before.st_size:,} bytes and is gone"
        else:
            if (now.st_size, now.st_mtime_ns, now.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino):
                continue
            what = f"changed while it was read: {before.st_size:,} bytes before, {now.st_size:,} after"
        merger.troubled[index] = True
        problems.replace("unreadable-input", Sample(path=str(path), detail=what), "changed")


def _conclude_files(files: list[_File], merger: Merger, problems: Problems) -> None:
    for index, file in enumerate(files):
        known = file.kind.encoding or file.kind.refused
        if not merger.rows[index] and not merger.troubled[index] and not known:
            what = "0 bytes" if not file.status.st_size else f"{file.status.st_size:,} bytes and no row"
            problems.add("empty-file", Sample(path=str(file.path), detail=what), names={what: 1})
    if len(merger.layouts) > 1:
        most = merger.layouts.most_common(1)[0][0]
        rest = {name: count for name, count in merger.layouts.items() if name != most}
        for name in rest:
            if name in merger.first_of:
                problems.place("mixed-schemas", merger.first_of[name])
        problems.count("mixed-schemas", sum(rest.values()), merger.layouts)


def _facts(
    files: list[_File], options: Options, merger: Merger, searches: Searches, notes: list[str], *, judged: bool
) -> DataFacts:
    rows = sum(merger.rows)
    layout: Layout | None = merger.layouts.most_common(1)[0][0] if merger.layouts else None  # type: ignore[assignment]
    lengths, truncation = None, None
    if measures_lengths(options) and rows:
        from trainguard.facts.data.lengths import conclude

        lengths, truncation, more = conclude(merger.states, rows, options)
        notes += more
    duplicates, leak = None, None
    if rows:
        duplicates, leak = searches.conclude(merger.exact_duplicates(), merger.leaks)
    notes += searches.notes
    return DataFacts(
        path=options.path,
        files=tuple(
            DataFile(
                path=str(file.path),
                bytes=file.status.st_size,
                rows=merger.rows[index],
                format=file.kind.format,
                compression=file.kind.compression,
            )
            for index, file in enumerate(files)
        ),
        rows=rows,
        layout=layout,
        conversational=2 * merger.conversational > rows,
        layouts=dict(merger.layouts.most_common()),
        columns=dict(merger.columns.most_common()),
        roles=dict(merger.roles.most_common()),
        turns=dict(sorted(merger.turns.items())),
        problems=merger.problems.result(_ORDER),
        lengths=lengths,
        truncation=truncation,
        duplicates=duplicates,
        leak=leak,
        tokenizer=options.tokenizer,
        template_judged=judged and merger.patterns_judged > 0,
        batch_size=options.batch_size,
        notes=tuple(dict.fromkeys([*notes, *merger.notes])),
    )
