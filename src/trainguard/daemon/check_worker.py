"""The process that checks small files for the daemon, one after the other: questions as JSON lines in, answers out.

`inspecting` starts it and ends it. What it does for a file is what `trainguard data FILE --report json` does; Python
and the rules are loaded once. Nothing of a file is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from trainguard.daemon.inspecting import Question
from trainguard.errors import TrainguardError
from trainguard.facts.data.limited import keep_open
from trainguard.findings import EXIT_INTERNAL, EXIT_USAGE
from trainguard.material import data_report

# As `nice -n 10`: the run in training goes first.
_NICE = 10
# Beyond the deadline that the daemon goes by: nobody is there any more then who could end this process.
_SPARE_SECONDS = 30


def main() -> None:
    """Answers until its input ends, as it does with the daemon."""
    # Whatever a library prints must not come between the answers.
    answers = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    keep_open()
    for line in sys.stdin.buffer:
        question = Question(**json.loads(line))
        # The default action of SIGALRM ends a process whatever it is doing, in Python or not (signal(7)).
        signal.alarm(int(question.deadline_seconds) + _SPARE_SECONDS)
        answer = answer_to(question)
        signal.alarm(0)
        # ASCII with escapes: names may be any bytes, and texts hold halves of surrogate pairs.
        data = memoryview(json.dumps({**answer, "resident_bytes": _resident_bytes()}, default=str).encode() + b"\n")
        while data:
            data = data[os.write(answers, data) :]


def answer_to(question: Question) -> dict[str, Any]:
    """What stands against a file, and the exit code that `trainguard data` would have. Never raises."""
    try:
        _, report = data_report(
            Path(question.path),
            max_length=question.max_length,
            batch_size=question.batch_size,
            tokenizer=None if question.tokenizer is None else Path(question.tokenizer),
            eval_path=None if question.evaluation is None else Path(question.evaluation),
            lengths=True,
        )
        findings = [each.to_dict() for each in report.findings]
        return {
            "exit_code": report.exit_code(),
            "error": "; ".join(each.message for each in report.errors),
            "reports": [{"findings": findings}],
        }
    except TrainguardError as error:
        return {"exit_code": EXIT_USAGE, "error": str(error)}
    except Exception as error:
        return {"exit_code": EXIT_INTERNAL, "error": f"{type(error).__name__}: {error}"}


def _resident_bytes() -> int:
    """proc_pid_statm(5): the second number is the resident set in pages. 0 where there is no /proc."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


if __name__ == "__main__":
    main()
