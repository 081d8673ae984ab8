"""What goes into a run: data, configurations, models, checkpoints, the machine. Reads them and asks the rules.

Each is a subject of its own kind, with one report. Reading never raises for what lies on the disk: that is a finding;
what raises all the same is an internal error in the report, never a clean result.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainguard.asking import Options, ask
from trainguard.findings import Finding, InternalError, Report
from trainguard.rules.base import Kind, Subject
from trainguard.rules.registry import discover

if TYPE_CHECKING:
    from trainguard.facts.checkpoint.records import CheckpointsFacts
    from trainguard.facts.config.records import ConfigFacts, Reference
    from trainguard.facts.data.records import DataFacts
    from trainguard.facts.machine.records import MachineFacts
    from trainguard.facts.model.records import ModelFacts

BytesProgress = Callable[[int, int], None]
_Facts = TypeVar("_Facts")


def report_on(subject: Subject, name: str, options: Options = Options(), *, notes: tuple[str, ...] = ()) -> Report:
    """Asks the rules about a subject that has been read."""
    registry = discover(subject.kind)
    rules = [rule for rule in registry.rules if options.wants(rule, name)]
    answers = ask(rules, subject, options)
    return Report(
        subject=name,
        findings=tuple(sorted(answers.findings)),
        errors=(*registry.errors, *answers.errors),
        not_asked=answers.not_asked,
        notes=notes,
    )


def data_report(
    path: Path,
    *,
    max_length: int | None = None,
    tokenizer: Path | None = None,
    eval_path: Path | None = None,
    batch_size: int | None = None,
    data_format: str | None = None,
    sample: int | None = None,
    near_duplicates: bool = False,
    lengths: bool = False,
    options: Options = Options(),
    on_progress: BytesProgress | None = None,
) -> tuple[DataFacts | None, Report]:
    """Training data, a file or a folder of shards: what was read, and the findings about it.

    `max_length` is in tokens, `batch_size` in examples per optimizer step. `sample` judges about so many rows only;
    `lengths` measures the lengths of all rows, `near_duplicates` looks for rows that resemble each other.
    """
    from trainguard.facts.data.reading import read_data

    def read() -> DataFacts:
        return read_data(
            path,
            max_length=max_length,
            tokenizer=tokenizer,
            eval_path=eval_path,
            batch_size=batch_size,
            format=data_format,
            sample=sample,
            near_duplicates=near_duplicates,
            lengths=lengths,
            on_progress=on_progress,
        )

    facts, failed = _read(read, "facts.data")
    if facts is None:
        return None, _failed(str(path), failed)
    return facts, report_on(Subject(kind="data", data=facts), str(path), options, notes=facts.notes)


def model_report(
    path: Path,
    *,
    base: Path | None = None,
    deep: bool = False,
    options: Options = Options(),
    on_progress: BytesProgress | None = None,
) -> Report:
    """A folder with a model, a tokenizer or an adapter. `base` is what the adapter was trained on."""
    from trainguard.facts.model.reading import read_model

    facts, failed = _read(lambda: read_model(path, base=base, deep=deep, on_progress=on_progress), "facts.model")
    if facts is None:
        return _failed(str(path), failed)
    return report_on(Subject(kind="model", model=facts), str(path), options, notes=facts.notes)


def checkpoint_report(
    path: Path,
    *,
    base: Path | None = None,
    deep: bool = False,
    options: Options = Options(),
    on_progress: BytesProgress | None = None,
) -> Report:
    """A checkpoint, or an output folder with checkpoints."""
    from trainguard.facts.checkpoint.reading import read_checkpoints

    def read() -> Any:
        return read_checkpoints(path, base=base, deep=deep, on_progress=on_progress)

    facts, failed = _read(read, "facts.checkpoint")
    if facts is None:
        return _failed(str(path), failed)
    return report_on(Subject(kind="checkpoint", checkpoints=facts), str(path), options)


def config_reports(
    source: str | Path | Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    follow: bool = True,
    options: Options = Options(),
    on_progress: BytesProgress | None = None,
) -> list[Report]:
    """The configuration of a guarded run, and with `follow` what it names: each one report, the configuration first.

    What it names is read in any case, as the CFG rules compare the values with it. What cannot be found or read there
    is told once, by the rule that is nearest to what the user would edit.
    """
    from trainguard.facts.config.reading import read_config

    name = str(source) if isinstance(source, Path) or (isinstance(source, str) and "\n" not in source) else "config"
    config, failed = _read(lambda: read_config(source, environment=environment, flags=flags), "facts.config")
    if config is None:
        return [_failed(name, failed)]
    named = read_named(config, options, on_progress)
    return [report_on_config(config, named, name, options), *(named.reports if follow else ())]


def report_on_config(config: ConfigFacts, named: Named, name: str, options: Options) -> Report:
    """Asks the CFG rules about a configuration and what it names. What could not be read there is among the errors.

    Of several data files the rules see the one with the shortest example.
    """
    subject = Subject(
        kind="config",
        config=config,
        data=min(named.data, key=_shortest, default=None),
        model=named.model,
        tokenizer=named.tokenizer,
        checkpoints=named.checkpoints,
        machine=named.machine,
    )
    report = report_on(subject, name, options)
    return replace(report, errors=(*report.errors, *named.errors))


@dataclass(slots=True)
class Named:
    """What a configuration names, as far as it could be read, with a report on each. `data` is in the files' order."""

    data: list[DataFacts] = field(default_factory=list)
    model: ModelFacts | None = None
    tokenizer: ModelFacts | None = None
    checkpoints: CheckpointsFacts | None = None
    machine: MachineFacts | None = None
    reports: list[Report] = field(default_factory=list)
    errors: list[InternalError] = field(default_factory=list)

    def note(self, facts: _Facts | None, error: InternalError | None) -> _Facts | None:
        """Keeps the error of a reading, and passes on what was read."""
        if error is not None:
            self.errors.append(error)
        return facts

    def report(self, subject: Subject, path: Path, options: Options) -> None:
        """Asks the rules about what was read; what was not is among the errors."""
        if subject.model or subject.checkpoints:
            self.reports.append(report_on(subject, str(path), options))


def read_named(config: ConfigFacts, options: Options, on_progress: BytesProgress | None) -> Named:
    """Reads what lies on the disk of what the configuration names. What is missing there is the CFG rules' to tell."""
    from trainguard.facts.checkpoint.reading import read_checkpoints
    from trainguard.facts.machine.reading import read_machine
    from trainguard.facts.model.reading import read_model

    found, named = Named(), config.named
    base, tokenizer = _local(named.base_model), _local(named.tokenizer)
    if base is not None:
        found.model = found.note(*_read(lambda: read_model(base), "facts.model"))
        found.report(Subject(kind="model", model=found.model), base, options)
    if tokenizer is not None and tokenizer != base:
        found.tokenizer = found.note(*_read(lambda: read_model(tokenizer), "facts.model"))
    _read_named_data(config, found, tokenizer or base, options, on_progress)
    output = named.output_dir
    if output is not None and output.is_dir():
        found.checkpoints = found.note(*_read(lambda: read_checkpoints(output, base=base), "facts.checkpoint"))
        if found.checkpoints is not None and found.checkpoints.checkpoints:
            found.report(Subject(kind="checkpoint", checkpoints=found.checkpoints), output, options)
    # For what a rule compares with it alone: a configuration is often checked elsewhere than where it will run.
    found.machine = found.note(*_read(lambda: read_machine(folder=output), "facts.machine"))
    return found


def _read_named_data(
    config: ConfigFacts, found: Named, tokenizer: Path | None, options: Options, on_progress: BytesProgress | None
) -> None:
    """Reads each of the data files."""
    batch, accumulation = config.value("batch_size"), config.value("gradient_accumulation")
    for reference in config.named.data:
        path = _local(reference)
        if path is None:
            continue
        facts, report = data_report(
            path,
            max_length=config.value("max_length"),
            tokenizer=tokenizer if tokenizer is not None and (tokenizer / "tokenizer.json").is_file() else None,
            eval_path=_local(config.named.eval_data),
            batch_size=batch * accumulation if batch and accumulation else None,
            lengths=True,
            options=options,
            on_progress=on_progress,
        )
        found.reports.append(report)
        if facts is not None:
            found.data.append(facts)


def _shortest(facts: DataFacts) -> float:
    return facts.lengths.shortest if facts.lengths is not None else float("inf")


def _local(reference: Reference | None) -> Path | None:
    return reference.path if reference is not None and reference.kind == "local" else None


def machine_report(
    *, folder: Path | None = None, needed_bytes: int | None = None, options: Options = Options()
) -> Report:
    """The machine, and the file system of `folder`, which is to take `needed_bytes`."""
    from trainguard.facts.machine.reading import read_machine

    facts, failed = _read(lambda: read_machine(folder=folder, needed_bytes=needed_bytes), "facts.machine")
    if facts is None:
        return _failed("this machine", failed)
    return report_on(Subject(kind="machine", machine=facts), "this machine", options)


def _read(read: Callable[[], _Facts], origin: str) -> tuple[_Facts | None, InternalError | None]:
    try:
        return read(), None
    except Exception as error:  # a reader's fault is no clean result, and must not hide what else was asked for
        message = f"{type(error).__name__}: {error}"
        return None, InternalError(origin=origin, message=message, traceback=traceback.format_exc())


def _failed(name: str, error: InternalError | None) -> Report:
    return Report(subject=name, errors=(error,) if error is not None else ())


def findings_of(report: Report) -> list[Finding]:
    """The findings of a report, for a caller who gets nothing else: what failed inside is said in one of them."""
    failures = [Finding("warn", f"trainguard: {e.message}; its findings are missing") for e in report.errors]
    return [*report.findings, *failures]


def check_kind(kind: Kind, arguments: Mapping[str, Any], options: Options = Options()) -> list[Report]:
    """The reports about a subject of `kind`, by the arguments of that kind's check."""
    if kind == "data":
        return [data_report(**arguments, options=options)[1]]
    if kind == "model":
        return [model_report(**arguments, options=options)]
    if kind == "checkpoint":
        return [checkpoint_report(**arguments, options=options)]
    if kind == "machine":
        return [machine_report(**arguments, options=options)]
    return config_reports(**arguments, options=options)


def reports_of_material(kind: Kind, path: Path, options: Options = Options()) -> list[Report]:
    """The reports about what lies at `path`; a configuration with the environment's say, and with what it names."""
    if kind == "config":
        return config_reports(path, environment=os.environ, options=options)
    return check_kind(kind, {"path": path}, options)
