"""Every check before a run: configuration, data, model, checkpoints, machine. What they read makes the plan as well."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainguard.asking import Options
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.records import CheckpointsFacts
from trainguard.facts.config.reading import read_config
from trainguard.facts.config.records import ConfigFacts, Reference
from trainguard.facts.config.schema import RunConfig
from trainguard.facts.data.records import DataFacts
from trainguard.facts.machine.reading import read_machine
from trainguard.facts.model.records import ModelFacts
from trainguard.findings import Finding, Report
from trainguard.material import data_report, read_named, report_on, report_on_config
from trainguard.rules.base import Subject
from trainguard.train.plan import DataSize, Weights, trained_weights

BytesProgress = Callable[[int, int], None]

# What is wrong with single checkpoints does not stop a run that resumes from the newest one that verifies: the broken
# ones are set aside, and so the run says.
HANDLED = frozenset({"CKPT002", "CKPT003", "CKPT004", "CKPT005", "CKPT008", "CKPT009"})
# What cannot happen in this run: its steps count on from file to file, and a checkpoint at its end is another file's
# beginning, or the plan says that nothing is left to do.
_MOOT = frozenset({"CKPT009"})
# What the supervised trainer takes (trl 1.16, "Dataset formats and types"); the others belong to other methods.
LAYOUTS = frozenset({"messages", "sharegpt", "prompt-completion", "text", "tokens"})
_OTHER_METHODS = {"preference": "DPO or a reward model", "kto": "KTO", "prompt": "GRPO"}


@dataclass(slots=True, kw_only=True)
class Material:
    """What a configuration names, as far as it could be read, with a report on each. `data` is in the files' order."""

    config: ConfigFacts
    data: list[DataFacts] = field(default_factory=list)
    eval_data: DataFacts | None = None
    model: ModelFacts | None = None
    tokenizer: ModelFacts | None = None
    checkpoints: CheckpointsFacts | None = None
    reports: list[Report] = field(default_factory=list)

    @property
    def run(self) -> RunConfig:
        """The configuration. Raises UsageError where a problem stands against it; then a finding has said which."""
        if self.config.run is None:
            raise UsageError(f"{self.config.path or 'the configuration'}: has problems, so there is no run to start")
        return self.config.run

    @property
    def output_dir(self) -> Path:
        return self.config.named.output_dir or Path("output")

    @property
    def has_chat_template(self) -> bool | None:
        """Whether the tokenizer brings one; None where its files are not on this disk."""
        facts = self.tokenizer or self.model
        return facts.tokenizer.has_chat_template if facts is not None and facts.tokenizer is not None else None

    @property
    def conversational(self) -> bool | None:
        """Whether the data are chats; None for data that is not on this disk."""
        return self.data[0].conversational if self.data else None


def gather(
    source: Path,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    options: Options = Options(),
    on_progress: BytesProgress | None = None,
) -> Material:
    """Reads a configuration and what it names, and asks the rules about each, the machine last.

    Nothing that lies there is loaded or run. Raises UsageError where there is no configuration to be read.
    """
    config = read_config(source, environment=environment, flags=flags)
    if unopened := config.of_kind("missing", "unreadable"):
        problem = unopened[0]
        hint = f"; did you mean {problem.suggestion}?" if problem.suggestion else ""
        raise UsageError(f"{source}: got {problem.got}, expected {problem.expected}, because {problem.because}{hint}")
    named = read_named(config, options, on_progress)
    material = Material(
        config=config,
        data=named.data,
        model=named.model,
        tokenizer=named.tokenizer,
        checkpoints=named.checkpoints,
        reports=[report_on_config(config, named, str(source), options), *named.reports],
    )
    if (path := _local(config.named.eval_data)) is not None:
        material.eval_data, report = data_report(path, max_length=config.value("max_length"), options=options)
        material.reports.append(report)
    return material


def check_machine(material: Material, needed_bytes: int | None, options: Options = Options()) -> None:
    """Adds the report on this machine, whose disk is to take `needed_bytes` of checkpoints."""
    facts = read_machine(folder=material.output_dir, needed_bytes=needed_bytes)
    material.reports.append(report_on(Subject(kind="machine", machine=facts), "this machine", options))


def stopping(reports: Collection[Report], forced: Collection[str]) -> list[Finding]:
    """The findings that stop a run before it starts: errors that are not forced, and that it does not mend itself."""
    return [
        finding
        for report in reports
        for finding in report.findings
        if finding.severity == "error" and finding.code not in forced and finding.code not in HANDLED
    ]


def without_handled(reports: Collection[Report], resumes: bool) -> list[Report]:
    """The reports as they are shown: what the run mends itself is no error of it, what cannot happen is left out."""

    def shown(finding: Finding) -> Finding:
        handled = resumes and finding.code in HANDLED and finding.severity == "error"
        return replace(finding, severity="warn") if handled else finding

    return [
        replace(report, findings=tuple(shown(each) for each in report.findings if each.code not in _MOOT))
        for report in reports
    ]


def refuse_what_cannot_be_trained(material: Material) -> None:
    """Raises UsageError for what no rule can know, since it is wrong for this trainer alone."""
    config, run = material.config, material.run
    if not config.named.data:
        where = config.path or "the configuration"
        raise UsageError(f'{where}: names no data to train on; write data = "train.jsonl" or pass --set data=FILE')
    for facts in material.data:
        if facts.layout is not None and facts.layout not in LAYOUTS:
            raise UsageError(
                f"{facts.path}: its rows are those of {_OTHER_METHODS.get(facts.layout, 'another method')} "
                f"({', '.join(sorted(facts.columns))}), and this is supervised fine-tuning: it takes messages, "
                "conversations, prompt and completion, text, or input_ids"
            )
    layouts = {str(facts.layout) for facts in material.data if facts.layout is not None}
    if len(layouts) > 1:
        raise UsageError(
            f"data: the files have several layouts ({', '.join(sorted(layouts))}), and one run takes one; "
            "train them one after the other"
        )
    if material.conversational and material.has_chat_template is False and run.chat_template is None:
        named = run.tokenizer or run.base_model
        raise UsageError(
            f"{named}: its tokenizer has no chat template, and the data are chats: name a Jinja file with "
            "chat_template, or another tokenizer with tokenizer"
        )


def data_size(material: Material) -> DataSize | None:
    """How much training data there is; None where some of it is not on this disk."""
    if not material.data or len(material.data) < len(material.config.named.data):
        return None
    rows = sum(facts.rows for facts in material.data)
    lengths = [(facts.rows, facts.lengths) for facts in material.data]
    known = [(count, each) for count, each in lengths if each is not None]
    tokens = round(sum(count * each.mean for count, each in known)) if len(known) == len(lengths) else None
    return DataSize(
        examples=rows,
        tokens=tokens,
        exact=bool(known) and all(each.exact for _, each in known),
        cut=sum(facts.truncation.over for facts in material.data if facts.truncation is not None),
    )


def weights_of(material: Material) -> Weights:
    """How many weights the model has, by the headers of its files; nothing where they are not on this disk."""
    model, run = material.model, material.config.run
    if model is None or model.tensors is None or run is None or (model.config is not None and model.config.quantized):
        return Weights()
    return trained_weights({name: tuple(each.shape) for name, each in model.tensors.items()}, run)


def _local(reference: Reference | None) -> Path | None:
    return reference.path if reference is not None and reference.kind == "local" else None
