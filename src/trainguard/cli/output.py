"""Where output goes: a file, a pipe or a terminal, with or without colour."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Literal, TextIO, TypeAlias, get_args

from trainguard.errors import UsageError

Color: TypeAlias = Literal["auto", "always", "never"]
COLORS: tuple[Color, ...] = get_args(Color)

_WIDEST = 120  # longer lines of prose are hard to read


def use_color(choice: Color, stream: TextIO) -> bool:
    """Whether to colour what goes to `stream`: the flag, NO_COLOR, FORCE_COLOR, then whether it is a terminal.

    The variables mean what https://no-color.org and https://force-color.org say: set and not empty.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def text_width(stream: TextIO) -> int | None:
    """The cells to wrap to, None where `stream` is no terminal."""
    return min(shutil.get_terminal_size().columns, _WIDEST) if stream.isatty() else None


def write(text: str, output: Path | None = None) -> None:
    """Writes to the file `output`, or to stdout. A reader that has gone away is no error.

    Raises UsageError where the file cannot be written.
    """
    if output is not None:
        try:
            output.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(f"--output {output}: cannot be written: {error.strerror or error}") from None
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()


def discard_stdout() -> None:
    """Sends what is still buffered to nowhere, so that the interpreter's exit is quiet too.

    As https://docs.python.org/3/library/signal.html#note-on-sigpipe advises.
    """
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
