"""The command line. Imports lazily: `import trainguard.cli` costs nothing before `main` is called."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from trainguard.errors import UnreadableInputError, UsageError
from trainguard.findings import EXIT_INTERNAL, EXIT_USAGE

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
TRACEBACK_VARIABLE = "TRAINGUARD_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code; never raises, never shows a traceback unasked."""
    try:
        for stream in (sys.stdout, sys.stderr):
            # An ASCII terminal gets escapes instead of a UnicodeEncodeError.
            getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
        from trainguard.cli.app import run

        return run(argv)
    except (UsageError, UnreadableInputError) as error:
        return _say(f"error: {error}", EXIT_USAGE)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        from trainguard.cli.output import discard_stdout

        discard_stdout()
        return EXIT_USAGE
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            from trainguard.cli.output import discard_stdout

            discard_stdout()
            return _say("error: the output cannot be written: no space is left on its device", EXIT_USAGE)
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _say(
            f"error: trainguard itself failed ({what}). This is a bug: please report it, with the traceback "
            f"that {TRACEBACK_VARIABLE}=1 shows.",
            EXIT_INTERNAL,
        )


def _say(message: str, exit_code: int) -> int:
    from trainguard.report.visible import visible

    print("\n".join(visible(line) for line in message.split("\n")), file=sys.stderr)
    return exit_code
