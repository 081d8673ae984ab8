"""`trainguard explain`: what is documented of a code, in the terminal."""

from __future__ import annotations

import sys

import click

from trainguard.cli.output import COLORS, Color, text_width, use_color, write
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN, EXIT_USAGE
from trainguard.report.visible import visible

_WIDEST = 100


@click.command("explain", short_help="Show what a code means.")
@click.argument("codes", metavar="CODE...", nargs=-1, required=True)
@click.option("--color", type=click.Choice(COLORS), default="auto", help="Whether to colour the page.")
def command(codes: tuple[str, ...], color: Color) -> int:
    """Show what a rule finds, why it costs you, and what to write instead.

    The codes of a run (RUN) and of the daemon (QUEUE) have a page too. A name does for its CODE.

    \b
    Examples:
      trainguard explain JOB002
      trainguard explain JOB009 JOB010
      trainguard explain default-timeout
      trainguard explain RUN003 QUEUE010
    """
    from trainguard.cli.examples import page
    from trainguard.cli.other_codes import other_codes, other_page
    from trainguard.rules.registry import discover
    from trainguard.settings import refuse_unknown_codes

    rules = discover().by_code()
    others = other_codes()
    by_name = {name: code for code, (name, _) in others.items()} | {rule.name: code for code, rule in rules.items()}
    pages, unknown = [], []
    for code in dict.fromkeys(codes):
        meant = by_name.get(code.lower(), code.upper())
        if (rule := rules.get(meant)) is not None:
            pages.append(page(rule))
            continue
        if meant in others:
            pages.append(other_page(meant))
            continue
        try:
            refuse_unknown_codes([meant], [*rules, *others], origin="explain")
            unknown.append(f"explain: {code!r} is the beginning of several codes; name one of them")
        except UsageError as error:
            unknown.append(str(error))
    if pages:
        _show("\n".join(pages), color)
    for message in unknown:
        print(visible(f"error: {message}"), file=sys.stderr)
    return EXIT_USAGE if unknown else EXIT_CLEAN


def _show(text: str, color: Color) -> None:
    width = text_width(sys.stdout)
    if width is None and not use_color(color, sys.stdout):
        write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    colored = use_color(color, sys.stdout)
    console = Console(width=min(width or _WIDEST, _WIDEST), no_color=not colored, force_terminal=colored)
    with console.capture() as capture:
        console.print(Markdown(text, code_theme="ansi_dark"))
    write("\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n")
