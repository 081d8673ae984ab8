"""JOB024: a submission that says twice, or not at all, what to run."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject


class ScriptOrCommand(Rule):
    """A job is given both or neither of `script` and `command`, or a script file that is not there.

    *What it does*

    Fires when a run has both a script and a command, when it has neither (an empty text is none), and when the
    script is the name of a file that does not exist.

    *Why it costs you*

    The submission is refused, or the machine starts and has nothing to run.

    *Example*

    ```json
    {"script": "train.py", "command": ["python", "train.py"]}
    ```

    *Use instead*

    ```json
    {"script": "train.py", "dependencies": ["trl"]}
    ```
    """

    code = "JOB024"
    name = "script-or-command"
    severity = "error"
    area = "job"
    needs = frozenset({"job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        job = subject.job
        if job is None or not job.checked:
            return
        if job.script is not None and job.command_raw is not None:
            yield self.finding(
                "both script and command are given, and a job runs one of them: keep script for a Python file with its "
                "dependencies, or command with image for a container",
                fix="one of script and command",
            )
        elif job.script is None and job.command_raw is None:
            yield self.finding(
                "neither script nor command is given, so there is nothing to run: give script (source, path or URL), "
                "or command with image",
                fix='script="train.py", or command=["python", "train.py"] with image',
            )
        elif job.script_kind == "path" and subject.script_file == "missing":
            shown = (job.script or "").strip()[:200]
            yield self.finding(
                f"script is {shown!r}, and there is no such file: correct the path, or give the source itself",
                fix="the path of the script, its URL, or its source",
            )

    _SOURCE = 'print("Hello")\nprint("Bye")\n'
    _BOTH = (
        "both script and command are given, and a job runs one of them: keep script for a Python file with its "
        "dependencies, or command with image for a container"
    )
    _NEITHER = (
        "neither script nor command is given, so there is nothing to run: give script (source, path or URL), or "
        "command with image"
    )
    VALID = (
        Example(script=_SOURCE, job={"command": ""}, why="An empty command is none."),
        Example(script=_SOURCE, job={"command": []}, why="Nor is an empty list one."),
        Example(job={"operation": "logs", "job_id": "68d1f0a2c7"}, why="Only runs need a script or a command."),
        Example(job={"script": "https://example.com/train.py"}, why="A URL is a script."),
        Example(job={"script": "trl", "script_args": ["sft", "--help"]}, why="So is a program of a declared package."),
        Example(job={"image": "python:3.12", "command": ["python", "-c", "print(1)"]}),
    )
    INVALID = (
        Example(
            job={"script": "https://example.com/train.py", "command": ["python", "train.py"]},
            findings=((None, _BOTH),),
        ),
        Example(job={"operation": "run", "hardware_flavor": "a10g-large"}, findings=((None, _NEITHER),)),
        Example(
            job={"script": " \n", "command": " "},
            findings=((None, _NEITHER),),
            why="Blank texts are nothing to run.",
        ),
        Example(
            job={"operation": "scheduled run", "schedule": "@daily", "script": "no_such_file.py"},
            findings=(
                (
                    None,
                    "script is 'no_such_file.py', and there is no such file: correct the path, or give the source "
                    "itself",
                ),
            ),
        ),
    )
