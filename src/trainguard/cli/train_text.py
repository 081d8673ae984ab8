"""What `trainguard train` prints: text with a bar on a terminal, plain lines elsewhere, or JSON Lines."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainguard.cli.output import Color, discard_stdout, text_width, use_color
from trainguard.findings import Finding, Report
from trainguard.report.summary import counted
from trainguard.report.visible import visible

if TYPE_CHECKING:
    from trainguard.train.lineage import Start
    from trainguard.train.plan import Plan

_SHOWN = ("loss", "eval_loss", "grad_norm", "learning_rate", "mean_token_accuracy", "eval_mean_token_accuracy")
_LINE_SECONDS = 30.0  # between two lines of progress where there is no bar and nothing is logged


class Speaker:
    """Says nothing; the base of the others, and what the processes beside the first one use."""

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def checks(self, reports: Sequence[Report], *, forced: Collection[str], stops: int) -> None:
        """The findings of all checks."""

    def plan(self, plan: Plan | None, start: Start) -> None:
        """What will be done."""

    def tell(self, event: str, /, **values: Any) -> None:
        """What happens (`trainguard.train.telling.Tell`)."""

    def close(self) -> None:
        """Ends what is drawn."""


class Silent(Speaker):
    """Of the processes beside the first one."""


class JsonSpeaker(Speaker):
    """One JSON object a line, each with `event`."""

    def checks(self, reports: Sequence[Report], *, forced: Collection[str], stops: int) -> None:
        self._line("checks", reports=[each.to_dict() for each in reports], forced=sorted(forced), stops=stops)

    def plan(self, plan: Plan | None, start: Start) -> None:
        self._line("plan", plan=plan.to_dict() if plan is not None else None, start=start_values(start))

    def tell(self, event: str, /, **values: Any) -> None:
        self._line(event, **{key: _plain(value) for key, value in values.items()})

    def _line(self, event: str, **values: Any) -> None:
        _print(json.dumps({"event": event, "time": round(time.time(), 3), **values}, default=str))


class TextSpeaker(Speaker):
    """For people: a bar on a terminal, else a line at each log."""

    def __init__(self, color: Color) -> None:
        self._color = use_color(color, sys.stdout)
        self._width = text_width(sys.stdout)
        self._bar: Any = None
        self._task: Any = None
        self._began = 0.0
        self._first = 0
        self._said = 0.0
        self._clock: Callable[[], float] = time.monotonic

    def checks(self, reports: Sequence[Report], *, forced: Collection[str], stops: int) -> None:
        from trainguard.report import render

        _print(render(reports, "text", color=self._color, width=self._width).rstrip("\n"))
        if forced:
            _print(f"forced: {', '.join(sorted(forced))}")
        if stops:
            _print(f"\nNot started: {counted(stops, 'error')} above; correct them, or go on with --force CODE.")

    def plan(self, plan: Plan | None, start: Start) -> None:
        if plan is not None:
            _print("\n" + "\n".join(visible(line) for line in plan_lines(plan, start)))

    def tell(self, event: str, /, **values: Any) -> None:
        handler = getattr(self, f"_on_{event}", None)
        if handler is not None:
            handler(**values)

    def _on_phase(self, *, name: str, words: str) -> None:  # noqa: ARG002 - what Tell gives
        self._say(words)

    def _on_note(self, *, words: str) -> None:
        self._say(words)

    def _on_finding(self, *, finding: Finding) -> None:
        at = f" at step {finding.step:,}" if finding.step is not None else ""
        self._say(f"{finding.severity} {finding.code or ''}{at}: {finding.message}")

    def _on_saved(self, *, path: str, step: int) -> None:  # noqa: ARG002
        self._say(f"the result is in {path}")

    def _on_begin(self, *, step: int, steps: int, step_before: int) -> None:  # noqa: ARG002
        self._began, self._first = self._clock(), step
        self._said = self._began
        if not sys.stdout.isatty():
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(no_color=not self._color, highlight=False),
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=steps, completed=step)

    def _on_progress(self, *, step: int, steps: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step)
        elif self._clock() - self._said >= _LINE_SECONDS:
            self._say(f"step {step:,}/{steps:,}{self._left(step, steps)}")

    def _on_metrics(self, *, step: int, steps: int, values: Mapping[str, Any]) -> None:
        shown = "  ".join(f"{name} {_number(values[name])}" for name in _SHOWN if name in values)
        if not shown:
            return
        if self._bar is not None and "loss" in values:
            self._bar.update(self._task, description=f"loss {_number(values['loss'])}")
        self._say(f"step {step:,}/{steps:,}  {shown}{'' if self._bar is not None else self._left(step, steps)}")

    def _on_end(self, *, code: int, steps: int, planned: int | None, words: str = "") -> None:
        self.close()
        if code == 0:
            made = f"{steps:,} of {planned:,} steps made" if planned else "done"
            self._say(f"done: {made}" + (f", {words}" if words else ""))
        else:
            self._say(words or "ended with errors")

    def _left(self, step: int, steps: int) -> str:
        made = step - self._first
        if made <= 0 or step >= steps:
            return ""
        pace = (self._clock() - self._began) / made
        return f"  {pace:.2f} s/step  {_duration(pace * (steps - step))} left"

    def _say(self, line: str) -> None:
        self._said = self._clock()
        if self._bar is not None:
            self._bar.console.print(visible(line), markup=False, highlight=False)
        else:
            _print(visible(line))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def plan_lines(plan: Plan, start: Start) -> list[str]:
    """The plan for people, one thing a line."""
    about = "about " if plan.approximate else ""
    examples = f"{plan.examples:,} examples" if plan.examples is not None else "examples of the Hub, not counted yet"
    tokens = f", {'' if plan.tokens_exact else 'about '}{plan.tokens:,} tokens" if plan.tokens is not None else ""
    cut = f", {plan.cut:,} longer than max_length {plan.max_length:,}" if plan.cut else ""
    steps = f"{about}{plan.steps:,}" if plan.steps is not None else "as many as the data gives"
    warmup = f", {plan.warmup_steps:,} of them warm-up" if plan.warmup_steps else ""
    parts = [f"{plan.batch_size:,}", f"{plan.gradient_accumulation:,} accumulated"]
    if plan.processes > 1:
        parts.append(f"{plan.processes:,} processes")
    lines = [
        ("model", f"{plan.model}, {plan.method}, precision {plan.precision}"),
        ("data", f"{examples}{tokens}{cut}" + (", packed" if plan.packing else "")),
        ("steps", f"{steps} ({plan.epochs:g} epochs)" if plan.steps_per_epoch else steps),
        ("batch", f"{plan.effective_batch:,} examples a step ({' x '.join(parts)})"),
        ("schedule", f"{plan.scheduler}, learning rate {plan.learning_rate:g}{warmup}"),
        ("evaluation", _every(plan.eval_strategy, plan.eval_every)),
        ("checkpoints", _checkpoints(plan)),
        ("begins", start_words(start)),
    ]
    return ["Plan", *(f"  {name:<12} {words}" for name, words in lines), *(f"  note: {each}" for each in start.notes)]


def start_words(start: Start) -> str:
    """Where a run begins, in words."""
    name = start.checkpoint.name if start.checkpoint is not None else ""
    left = f", {start.planned_steps - start.done:,} steps left" if start.planned_steps else ""
    match start.kind:
        case "fresh":
            return "anew"
        case "resume":
            return f"goes on from {name}: {start.done:,} steps of this data are made{left}"
        case "next":
            return f"file {start.file_number:,} of its lineage, on the weights of {name}"
        case "complete":
            return f"already complete: {start.done:,} of {start.planned_steps or start.done:,} steps are made ({name})"


def start_values(start: Start) -> dict[str, Any]:
    """Where a run begins, as plain values."""
    return {
        "kind": start.kind,
        "checkpoint": str(start.checkpoint) if start.checkpoint is not None else None,
        "step": start.step,
        "step_before": start.step_before,
        "steps_made": start.done,
        "planned_steps": start.planned_steps,
        "file_number": start.file_number,
        "skipped": [list(each) for each in start.skipped],
        "notes": list(start.notes),
    }


def _checkpoints(plan: Plan) -> str:
    if plan.save_strategy == "no":
        return "none: what a crash costs is the whole run"
    kept = f"{max(plan.keep, 2):,} kept" if plan.keep is not None else "all kept"
    size = f", about {_bytes(plan.checkpoint_bytes)} each" if plan.checkpoint_bytes else ""
    return f"{_every(plan.save_strategy, plan.save_every)}, {kept}{size}, in {plan.output_dir}"


def _every(strategy: str, steps: int | None) -> str:
    if strategy == "no":
        return "none"
    if strategy == "epoch":
        return "after each epoch"
    return f"every {steps:,} steps" if steps is not None else "every few steps"


def _bytes(count: int) -> str:
    from trainguard.train.space import size_words

    return size_words(count)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Finding):
        return value.to_dict()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value


def _print(text: str) -> None:
    """A reader that has gone away must not end a run."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
