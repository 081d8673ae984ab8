"""The verbs, one module each, imported when asked for.

click and not typer: typer 0.29 loads pydantic to parse a command line, which makes a start 140 ms slower
than click, more than a whole check of a script takes.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click

from trainguard.errors import UsageError
from trainguard.findings import EXIT_USAGE

VERBS = (
    *("check", "data", "config", "init", "train", "watch", "run"),
    *("daemon", "queue", "status", "log", "report"),
    *("checkpoint", "doctor", "drill", "approve", "rules", "explain", "index", "version"),
)


class _Verbs(click.Group):
    """A group whose commands are the modules of `trainguard.cli` that VERBS names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return load_verb(cmd_name) if cmd_name in VERBS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word in VERBS:
            return super().resolve_command(ctx, args)
        if Path(word).exists():
            raise UsageError(f"there is no command {word!r}; did you mean `trainguard check {word}`?")
        import difflib

        close = difflib.get_close_matches(word, VERBS, n=1)
        hint = f"did you mean `trainguard {close[0]}`?" if close else f"it may be {', '.join(VERBS)}"
        raise UsageError(f"there is no command {word!r}; {hint}")


def load_verb(name: str) -> click.Command:
    """The command of one verb, out of its module."""
    return cast(click.Command, importlib.import_module(f"trainguard.cli.{name}").command)


def _show_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        ctx.invoke(load_verb("version"))
        ctx.exit(0)


@click.group(
    cls=_Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 nothing to report, 1 findings, 2 wrong usage or unreadable input, 3 internal error.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
@click.pass_context
def trainguard(ctx: click.Context) -> None:
    """Guardrails for fine-tuning runs: check before you pay, watch while it trains, recover when it breaks."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(EXIT_USAGE)


def run(argv: Sequence[str] | None) -> int:
    """Parses `argv` (the process's own by default) and runs the verb; its exit code.

    Raises UsageError, in one line, for what the parser refuses, and KeyboardInterrupt for Ctrl-C.
    """
    try:
        result = trainguard.main(args=argv, prog_name="trainguard", standalone_mode=False)
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.exceptions.NoArgsIsHelpError as error:
        # A group without its verb: its help, line by line, as `trainguard` alone gives it.
        click.echo(error.format_message())
        return EXIT_USAGE
    except click.ClickException as error:
        raise UsageError(_in_words(error)) from None
    return result if isinstance(result, int) else 0


def _in_words(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    if isinstance(error, click.NoSuchOption):
        close = sorted(error.possibilities or ())
        message = f"there is no option {error.option_name}" + (f"; did you mean {' or '.join(close)}?" if close else "")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return message + (f"\nTry `{context.command_path} --help`." if context is not None else "")
