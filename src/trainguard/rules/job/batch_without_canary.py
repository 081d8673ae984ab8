"""JOB018: several jobs of one family at once, before any of them has shown that it works."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from trainguard.facts.command import CommandFacts, read_command, starts_training
from trainguard.facts.job import JobFacts
from trainguard.facts.script import ScriptFacts
from trainguard.facts.values import number
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject

# A run of so few steps costs next to nothing and shows whether the script works.
_CANARY_STEPS = 50
_CANARY_WORDS = re.compile(r"(?<![a-z])(?:canary|smoke|dry[-_ ]?run|pilot|sanity)(?![a-z])", re.IGNORECASE)
_STEPS_OPTION = re.compile(r"--max[-_]steps(?:=|\s+)(\d{1,9})(?!\d)")
# Above this a script is compared as text: the trees of huge files are not worth their time.
_LONGEST_COMPARED = 200_000


@dataclass(frozen=True, slots=True)
class _Member:
    """One job of a batch."""

    job: JobFacts
    script: ScriptFacts | None


class BatchWithoutCanary(Rule):
    """Several trainings of one family are submitted at once, and none of them has completed before.

    *What it does*

    Fires when two or more jobs of one submission run the same training: the same script, command and image, up to
    arguments, environment, and the numbers and texts in it. One of them that is evidently a trial (few
    `max_steps`, "canary" or "smoke" in its name, labels or arguments) or a schedule keeps it silent.

    *Why it costs you*

    A fault in the script ends all of them, and every machine is paid for.

    *Example*

    ```python
    run_preflight_checks_batch([{"script": source, "script_args": ["--lr", lr]} for lr in ("1e-5", "2e-5", "4e-5")])
    ```

    *Use instead*

    ```python
    # The others when it has completed.
    run_preflight_checks_batch([{"script": source, "script_args": ["--lr", "1e-5"]}])
    ```
    """

    code = "JOB018"
    name = "batch-without-canary"
    severity = "warn"
    area = "job"
    needs = frozenset({"batch"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        families: dict[Hashable, list[_Member]] = defaultdict(list)
        for each in subject.batch:
            if each.job is None or not each.job.checked or not each.job.remote:
                continue
            member = _Member(each.job, each.script)
            if (family := _family(member)) is not None:
                families[family].append(member)
        for members in families.values():
            starting = [member for member in members if not member.job.scheduled]
            if len(starting) > 1 and not any(map(_is_canary, members)):
                yield self._found(starting)

    def _found(self, members: list[_Member]) -> Finding:
        cost = sum(_worst_cost(member.job) for member in members)
        price = f", up to ${cost:.2f}," if cost else ""
        return self.finding(
            f"{len(members)} jobs of this submission are one training with other settings, and none of them has "
            f"completed before: a fault in one is a fault in all of them{price} and all are paid for; submit one "
            "alone, and the others when it has completed",
            fix="one job first, the others when it has completed",
            evidence={"jobs": len(members), "worst_cost_usd": round(cost, 2)},
        )

    _SOURCE = (
        "from trl import SFTConfig, SFTTrainer\n"
        'trainer = SFTTrainer(model="{model}", args=SFTConfig("out"{more}), train_dataset=data)\n'
        "trainer.train()\n"
    )
    _ONE = _SOURCE.format(model="Qwen/Qwen2.5-0.5B", more=", learning_rate=1e-5")
    _TWO = _SOURCE.format(model="Qwen/Qwen2.5-3B", more=", learning_rate=2e-5")
    _FAMILY = (
        "jobs of this submission are one training with other settings, and none of them has completed before: a fault "
        "in one is a fault in all of them, up to"
    )
    _ADVICE = "and all are paid for; submit one alone, and the others when it has completed"
    VALID = (
        Example(batch=({"script": _ONE, "timeout": "2h"},), why="One job."),
        Example(batch=({"script": _ONE}, {"operation": "logs", "job_id": "1"}), why="The second starts nothing."),
        Example(
            batch=(
                {"script": _ONE},
                {"script": _SOURCE.format(model="Qwen/Qwen2.5-3B", more=", learning_rate=2e-5, max_steps=5")},
            ),
            why="Five steps are the trial of the other.",
        ),
        Example(
            batch=(
                {"script": _ONE},
                {"script": "from trl import DPOTrainer\nDPOTrainer(model=m, train_dataset=d).train()\n"},
            ),
            why="Two trainings that share nothing.",
        ),
        Example(batch=({"script": "a = 1\nprint(a)\n"}, {"script": "a = 2\nprint(a)\n"}), why="Nothing is trained."),
        Example(batch=({"script": _ONE}, {"script": _TWO, "schedule": "@weekly"}), why="The second starts later."),
    )
    INVALID = (
        Example(
            batch=(
                {"script": _ONE, "hardware_flavor": "a10g-large", "timeout": "2h"},
                {"script": _TWO, "hardware_flavor": "a100-large", "timeout": "4h"},
            ),
            findings=(
                (
                    None,
                    f"2 {_FAMILY} $13.00, {_ADVICE}",
                ),
            ),
            why="The scripts differ in the model and one number.",
        ),
        Example(
            batch=(
                {"script": _ONE, "script_args": ["--seed", "0"], "flavor": "l4x1", "timeout": 3600},
                {"script": _ONE, "script_args": ["--seed", "1"], "flavor": "l4x1", "timeout": 3600},
                {"script": _ONE, "script_args": "--seed 2", "flavor": "l4x1", "timeout": "1h"},
            ),
            findings=(
                (
                    None,
                    f"3 {_FAMILY} $2.40, {_ADVICE}",
                ),
            ),
        ),
        Example(
            batch=(
                {"command": ["python", "train.py", "--lr", "1e-5"], "image": "acme/t:1", "flavor": "l4x1"},
                {"command": "python train.py --lr 3e-5", "image": "acme/t:1", "hardware": "l4x1"},
            ),
            findings=(
                (
                    None,
                    f"2 {_FAMILY} $0.80, {_ADVICE}",
                ),
            ),
            why="Two ways to write one command.",
        ),
        Example(
            batch=(
                {"script": "import os\n" + _ONE, "env": {"BETA": "0.1"}, "flavor": "t4-small"},
                {"operation": "ps"},
                {"script": "# the other value\nimport os\n" + _ONE, "env": {"BETA": "0.5"}, "flavor": "t4-small"},
            ),
            findings=(
                (
                    None,
                    f"2 {_FAMILY} $0.40, {_ADVICE}",
                ),
            ),
            why="Comments make no difference.",
        ),
    )


def _worst_cost(job: JobFacts) -> float:
    price = job.flavor.price_per_hour if job.flavor is not None else None
    return (price or 0.0) * max(job.timeout_seconds or 0.0, 0.0) / 3600


def _family(member: _Member) -> Hashable | None:
    """What all jobs of one family have in common; None for a job that does not clearly train."""
    job, script = member.job, member.script
    if script is not None:
        return ("script", _shape(script)) if script.training.trains else None
    if job.command is not None:
        if not starts_training(job.command):
            return None
        return ("command", job.image, tuple(_programs(job.command)), job.command.clones, job.command.downloads)
    if job.script is not None:
        # Not read here (a URL, another folder): its name has to say that it trains.
        command = read_command(["python", job.script.strip().rpartition("/")[2]])
        return ("file", job.script.strip()) if command is not None and starts_training(command) else None
    return None


def _programs(command: CommandFacts) -> Iterator[Hashable]:
    for launch in command.launches:
        if starts_training(replace(command, launches=(launch,))):
            source = re.sub(r"\s+", " ", launch.inline_source or "")
            yield (launch.launcher, launch.subcommand, launch.script_path, launch.module, _without_literals(source))


def _shape(script: ScriptFacts) -> str:
    """The script without its literals: two runs that differ in numbers and names have the same."""
    if script.syntax.unread or len(script.text) > _LONGEST_COMPARED:
        return _without_literals(script.text)
    parts: list[str] = []
    stack: list[ast.AST] = [script.syntax.tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Constant):
            parts.append(type(node.value).__name__ if node.value is None else "literal")
            continue
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
            parts.append("literal")
            continue
        parts.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                stack.append(value)
            elif isinstance(value, list):
                stack.extend(each for each in value if isinstance(each, ast.AST))
            elif value and name in ("id", "attr", "arg", "name"):
                parts.append(str(value))
    return " ".join(parts)


def _without_literals(text: str) -> str:
    return re.sub(r"\"[^\"\n]*\"|'[^'\n]*'|\d[\d.e_-]*", "0", text)


def _is_canary(member: _Member) -> bool:
    """Whether a job is evidently a trial of the others."""
    job, script = member.job, member.script
    words = " ".join([job.name or "", *job.labels, *job.labels.values(), *(job.script_args or ())])
    words += f" {job.command.text}" if job.command is not None else ""
    if _CANARY_WORDS.search(words):
        return True
    if any(int(steps) <= _CANARY_STEPS for steps in _STEPS_OPTION.findall(words)):
        return True
    if script is None:
        return False
    steps = [number(option.value) for option in script.training.option("max_steps")]
    return any(each is not None and 0 < each <= _CANARY_STEPS for each in steps)
