"""`trainguard data`: what training data hold, and what is wrong with them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import click

from trainguard.cli.byte_progress import ByteProgress
from trainguard.cli.inputs import make_options, read_settings
from trainguard.cli.output import COLORS, Color, text_width, use_color, write
from trainguard.cli.panels import PATH, Command, option
from trainguard.errors import UsageError
from trainguard.findings import EXIT_USAGE, FailOn, Report, exit_code
from trainguard.report.visible import visible
from trainguard.settings import FAIL_ON

if TYPE_CHECKING:
    from trainguard.facts.data.records import DataFacts

Output: TypeAlias = Literal["text", "json", "html"]
_DATA_FORMATS = ("jsonl", "json", "parquet", "csv", "text")  # facts.data.records.FileFormat
_NOTHING = (
    "no data to look at: name a file or a folder of shards; for example\n"
    "  trainguard data train.jsonl --tokenizer my-model --max-length 2048"
)
_MEASURE = "What to measure"
_READING = "How to read"
_RULES = "Which rules"
_FIXES = "Fixes"
_OUTPUT = "Output"
_COUNT = click.IntRange(min=1)


@click.command("data", cls=Command, short_help="Look at training data: rows, roles, lengths, duplicates, problems.")
@click.argument("files", nargs=-1, type=PATH, metavar="FILE...")
@option(
    "--tokenizer",
    type=PATH,
    metavar="DIR",
    panel=_MEASURE,
    help="A local folder with the tokenizer, for exact lengths.",
)
@option("--max-length", type=_COUNT, metavar="N", panel=_MEASURE, help="Tokens: which rows a trainer would cut.")
@option("--batch-size", type=_COUNT, metavar="N", panel=_MEASURE, help="Rows in one optimizer step, over all devices.")
@option(
    "--eval", "eval_path", type=PATH, metavar="FILE", panel=_MEASURE, help="Evaluation data, to be in no training row."
)
@option("--near-duplicates", is_flag=True, panel=_MEASURE, help="Look for rows that resemble each other, too. Slower.")
@option(
    "--format",
    "data_format",
    type=click.Choice(_DATA_FORMATS),
    panel=_READING,
    help="The format, if the name misleads.",
)
@option("--sample", type=_COUNT, metavar="N", panel=_READING, help="Judge about N rows, spread over the data.")
@option(
    "--select", metavar="CODES", multiple=True, panel=_RULES, help="Ask only these: DATA002, or DATA for all of them."
)
@option("--ignore", metavar="CODES", multiple=True, panel=_RULES, help="Do not ask these.")
@option("--config", type=PATH, metavar="FILE", panel=_RULES, help="Settings: a pyproject.toml with [tool.trainguard].")
@option("--isolated", is_flag=True, panel=_RULES, help="Go by no settings file.")
@option("--fix", type=PATH, metavar="OUT", panel=_FIXES, help="Write a repaired copy to OUT, and look at that.")
@option("--overwrite", is_flag=True, panel=_FIXES, help="Let --fix replace OUT where it is there.")
@option(
    "--report",
    "output_format",
    type=click.Choice(get_args(Output)),
    default="text",
    panel=_OUTPUT,
    help="How to print.",
)
@option("--output", type=PATH, metavar="FILE", panel=_OUTPUT, help="Write to a file, not to stdout.")
@option(
    "--fail-on", type=click.Choice(FAIL_ON), panel=_OUTPUT, help="Exit with 1 from this severity on. error by default."
)
@option("--color", type=click.Choice(COLORS), default="auto", panel=_OUTPUT, help="Whether to colour text.")
def command(
    *,
    files: tuple[Path, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    config: Path | None,
    isolated: bool,
    fix: Path | None,
    overwrite: bool,
    output_format: Output,
    output: Path | None,
    fail_on: FailOn | None,
    color: Color,
    **measures: Any,
) -> int:
    """Look at training data before a model is loaded: what they hold, and what would break or spoil a run.

    FILE is JSON Lines, a JSON array, Parquet, CSV or plain text, compressed with gzip or zstd or not, or a folder of
    shards. Every row is read; nothing is changed, and nothing leaves the machine.

    \b
    Examples:
      trainguard data train.jsonl
      trainguard data train.jsonl --tokenizer my-model --max-length 2048
      trainguard data shards/ --eval eval.jsonl --near-duplicates
      trainguard data train.jsonl --report html --output train.html
      trainguard data train.jsonl --report json
      trainguard data chats.jsonl --fix chats.fixed.jsonl
    """
    if not files:
        raise UsageError(_NOTHING)
    _refuse_what_cannot_be(files, measures, fix=fix, output=output, output_format=output_format)
    settings = read_settings(config, isolated=isolated, first_path=files[0])
    options = make_options(settings, select=select, ignore=ignore)
    if fix is not None:
        from trainguard.cli.data_fix import fix_and_tell

        fix_and_tell(files[0], fix, data_format=measures["data_format"], overwrite=overwrite)
        files, measures = (fix,), {**measures, "data_format": None}

    from trainguard.check import data_report

    subjects: list[tuple[DataFacts | None, Report]] = []
    for path in files:
        with ByteProgress(str(path)) as progress:
            subjects.append(data_report(path, **measures, lengths=True, options=options, on_progress=progress))
    _print(subjects, output_format, output, color)
    reports = [report for _, report in subjects]
    code = exit_code(reports, fail_on or settings.fail_on)
    return max(code, EXIT_USAGE) if any(_is_unreadable(facts) for facts, _ in subjects) else code


def _refuse_what_cannot_be(
    files: Sequence[Path], measures: dict[str, Any], *, fix: Path | None, output: Path | None, output_format: Output
) -> None:
    """Raises UsageError for options that contradict each other, and for what they name and is not there."""
    tokenizer, eval_path = measures["tokenizer"], measures["eval_path"]
    if tokenizer is not None and not (tokenizer / "tokenizer.json").is_file():
        what = "has no tokenizer.json" if tokenizer.is_dir() else "is no folder"
        raise UsageError(
            f"--tokenizer {tokenizer}: {what}; give a local folder with one, as of `hf download NAME --local-dir DIR`"
        )
    if eval_path is not None and not eval_path.exists():
        raise UsageError(f"--eval {eval_path}: is not there; name the file with the evaluation data")
    if fix is not None and len(files) != 1:
        raise UsageError(f"--fix {fix} writes one copy, but {len(files)} files are named; repair them one at a time")
    if measures["sample"] is not None and measures["batch_size"] is not None:
        raise UsageError("--batch-size compares with all rows, --sample reads some of them: leave one out")
    if output_format == "html" and output is None and sys.stdout.isatty():
        raise UsageError("--report html is a page for a browser: name a file with --output FILE.html")


def _is_unreadable(facts: DataFacts | None) -> bool:
    """Whether nothing at all could be read, as opposed to data that are wrong."""
    return facts is not None and not facts.rows and facts.problem("unreadable-input") is not None


def _print(
    subjects: Sequence[tuple[DataFacts | None, Report]], output_format: Output, output: Path | None, color: Color
) -> None:
    from trainguard.facts.data.summary import summary

    shown = [(summary(facts) if facts is not None else None, report) for facts, report in subjects]
    to_terminal = output is None and sys.stdout.isatty()
    if output_format == "json":
        from trainguard.report.data_json import render_data_json

        text = render_data_json(shown)
    elif output_format == "html":
        from trainguard import __version__
        from trainguard.report.data_html import render_data_html

        text = render_data_html(shown, version=__version__)
    else:
        from trainguard.report.data_text import render_data_text

        text = render_data_text(
            shown,
            color=use_color(color, sys.stdout) and (output is None or color == "always"),
            width=text_width(sys.stdout) if to_terminal else None,
            unicode=output is not None or _takes_blocks(sys.stdout.encoding),
        )
    write(text, output)
    if output_format != "text" or not to_terminal:
        for origin, message in dict.fromkeys((e.origin, e.message) for _, report in subjects for e in report.errors):
            print(visible(f"error: {origin} failed inside trainguard: {message}"), file=sys.stderr)


def _takes_blocks(encoding: str | None) -> bool:
    try:
        "▏█·…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
