"""JOB021: a flavor or a timeout that the provider refuses."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.job import JobFacts
from trainguard.findings import Finding
from trainguard.libraries.flavors import closest_flavors
from trainguard.rules.base import Example, Rule, Subject

# A placeholder that the submitter fills in: ${FLAVOR}, {{ flavor }}, <flavor>.
_PLACEHOLDER_SIGNS = "${<%"


class UnknownFlavorOrTimeout(Rule):
    """The flavor does not exist, or the timeout cannot be read.

    *What it does*

    Fires when the flavor is none of the provider's (names are case-sensitive), when the hub client cannot parse
    the timeout (a number of seconds, or a number and one of s, m, h, d), and when the timeout is not above zero.

    *Why it costs you*

    The submission is refused, or the job is killed as soon as it starts.

    *Example*

    ```json
    {"hardware_flavor": "a100", "timeout": "1h30m"}
    ```

    *Use instead*

    ```json
    {"hardware_flavor": "a100-large", "timeout": "90m"}
    ```
    """

    code = "JOB021"
    name = "unknown-flavor-or-timeout"
    severity = "error"
    area = "job"
    needs = frozenset({"job"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        job = subject.job
        if job is None or not job.checked or not job.remote:
            return
        if (finding := self._flavor(job)) is not None:
            yield finding
        if (finding := self._timeout(job)) is not None:
            yield finding

    def _flavor(self, job: JobFacts) -> Finding | None:
        name = job.flavor_name
        if not job.flavor_given or name is None or job.flavor is not None or _is_placeholder(name):
            return None
        near = closest_flavors(name)
        meant = f"did you mean {' or '.join(near)}?" if near else "see `hf jobs hardware` for those that exist"
        return self.finding(
            f"hardware_flavor is {name[:60]!r}, which the provider does not have; {meant}",
            fix=f'hardware_flavor="{near[0]}"' if near else "a flavor that `hf jobs hardware` lists",
            evidence={"closest": near},
        )

    def _timeout(self, job: JobFacts) -> Finding | None:
        if not job.timeout_given or _is_placeholder(job.timeout_raw):
            return None
        if job.timeout_error is not None:
            return self.finding(
                f'{job.timeout_error}: the submission fails; write one number and one unit, such as timeout="90m"',
                fix='timeout="90m", or a number of seconds',
            )
        if job.timeout_seconds is not None and job.timeout_seconds <= 0:
            return self.finding(
                f"timeout is {repr(job.timeout_raw)[:40]}, which is {job.timeout_seconds:g} seconds: no job can finish "
                'in that time; give the time that the run needs, such as timeout="6h"',
                fix='timeout="6h", or what the run needs',
                evidence={"timeout_seconds": job.timeout_seconds},
            )
        return None

    _SOURCE = 'print("Hello")\nprint("Bye")\n'
    _UNREADABLE = (
        "is not a number followed by s, m, h or d, nor a whole number of seconds: the submission fails; "
        'write one number and one unit, such as timeout="90m"'
    )
    VALID = (
        Example(script=_SOURCE, job={"hardware_flavor": "rtx-pro-6000x2", "timeout": 5400}, why="A number is seconds."),
        Example(
            script=_SOURCE, job={"flavor": "cpu-xl", "timeout": "1.5h"}, why="A fraction before the unit is legal."
        ),
        Example(script=_SOURCE, job={"timeout": "5400"}, why="So are digits alone; the flavor is left at its default."),
        Example(script=_SOURCE, job={"timeout": 0}, why="The client leaves a 0 out, and the default holds."),
        Example(
            script=_SOURCE, job={"hardware_flavor": "${FLAVOR}", "timeout": "{{ timeout }}"}, why="Not filled in yet."
        ),
        Example(job={"operation": "ps", "hardware_flavor": "all"}, why="Nothing is started."),
        Example(script=_SOURCE, job={"backend": "local", "hardware": "rtx-4090"}, why="The machine is one's own."),
    )
    INVALID = (
        Example(
            script=_SOURCE,
            job={"hardware_flavor": "a100", "timeout": "2h"},
            findings=(
                (
                    None,
                    "hardware_flavor is 'a100', which the provider does not have; "
                    "did you mean a100-large or a100x4 or a100x8?",
                ),
            ),
        ),
        Example(script=_SOURCE, job={"timeout": "1h30m"}, findings=((None, f"'1h30m' {_UNREADABLE}"),)),
        Example(
            job={"command": ["python", "-V"], "flavor": "A10G-Large", "timeout": "2H"},
            findings=(
                (None, "hardware_flavor is 'A10G-Large', which the provider does not have; did you mean a10g-large?"),
                (None, f"'2H' {_UNREADABLE}"),
            ),
            why="Both flavor and unit are case-sensitive.",
        ),
        Example(
            script=_SOURCE,
            job={"timeout": "0h"},
            findings=(
                (
                    None,
                    "timeout is '0h', which is 0 seconds: no job can finish in that time; give the time that the run "
                    'needs, such as timeout="6h"',
                ),
            ),
            why="The client lets it pass, and the job has no time.",
        ),
        Example(
            script=_SOURCE,
            job={"hardware": "gpu"},
            findings=(
                (
                    None,
                    "hardware_flavor is 'gpu', which the provider does not have; see `hf jobs hardware` for those that "
                    "exist",
                ),
            ),
        ),
    )


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and any(sign in value for sign in _PLACEHOLDER_SIGNS)
