"""From a configuration to a plan: every check, what the run is, where it begins. Loads neither torch nor a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainguard.asking import Options
from trainguard.errors import UsageError
from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.records import Checkpoint
from trainguard.facts.checkpoint.verify import verify
from trainguard.facts.config.reading import read_config
from trainguard.findings import Finding, Report
from trainguard.train import processes
from trainguard.train.checking import (
    BytesProgress,
    Material,
    check_machine,
    data_size,
    gather,
    refuse_what_cannot_be_trained,
    stopping,
    weights_of,
    without_handled,
)
from trainguard.train.identity import Identity, identify
from trainguard.train.lineage import Start, choose_start
from trainguard.train.plan import Plan, make_plan


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A run that has been checked and planned. `plan` is None where the configuration has problems of its own."""

    material: Material
    resume: bool
    on_top: bool = False
    plan: Plan | None = None
    stops: list[Finding] = field(default_factory=list)

    @property
    def reports(self) -> list[Report]:
        """All reports; what the run mends itself is told as a warning."""
        return without_handled(self.material.reports, self.resume)


def prepare(
    source: Path,
    *,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    forced: Collection[str] = (),
    resume: bool | None = None,
    on_top: bool = False,
    options: Options = Options(),
    on_progress: BytesProgress | None = None,
) -> Prepared:
    """Checks everything and makes the plan.

    `forced` are codes of errors that do not stop the run; `resume` None leaves it to `save.resume`. Raises UsageError
    where there is no configuration.
    """
    material = gather(source, environment=environment, flags=flags, options=options, on_progress=on_progress)
    run = material.config.run
    wanted = resume if resume is not None else run is None or run.save.resume == "auto"
    prepared = Prepared(material=material, resume=wanted, on_top=on_top)
    if run is not None:
        newest = material.checkpoints.latest_verified if material.checkpoints is not None else None
        prepared.plan = make_plan(
            run,
            data_size(material),
            weights_of(material),
            output_dir=str(material.output_dir),
            processes=processes.count(),
            last_checkpoint_bytes=newest.size if newest is not None and wanted else None,
        )
    check_machine(material, prepared.plan.needed_bytes if prepared.plan is not None else None, options)
    prepared.stops = stopping(material.reports, forced)
    return prepared


def unchecked(source: Path, *, environment: Mapping[str, str], flags: Mapping[str, object]) -> Prepared:
    """The configuration alone, for the processes beside the first one, which checks for all."""
    config = read_config(source, environment=environment, flags=flags)
    return Prepared(material=Material(config=config), resume=True)


def identity_of(prepared: Prepared) -> Identity:
    """What the run trains on and how. Reads all data. Raises UsageError for what this trainer does not take."""
    refuse_what_cannot_be_trained(prepared.material)
    material, plan = prepared.material, prepared.plan
    assert plan is not None
    paths = [each.path for each in material.config.named.data if each.kind == "local" and each.path is not None]
    names = [each.given for each in material.config.named.data if each.kind != "local"]
    return identify(material.run, paths, names, effective_batch=plan.effective_batch)


def start_of(prepared: Prepared, identity: Identity) -> Start:
    """Where the run begins, by what stands in its output folder now. Raises UsageError as `choose_start` does."""
    plan, output = prepared.plan, prepared.material.output_dir
    latest = newest_verified(output) if prepared.resume else None
    start = choose_start(
        latest,
        identity,
        steps=plan.steps if plan is not None else None,
        resume=prepared.resume,
        on_top=prepared.on_top,
    )
    if plan is not None:
        prepared.plan = replace(plan, step_before=start.step_before)
    return start


def newest_verified(output_dir: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies, with its manifest."""
    folder = latest_verified_checkpoint(output_dir)
    return verify(folder, output_dir) if folder is not None else None


def set_aside(output_dir: Path) -> list[Path]:
    """Moves all checkpoints to the quarantine, for a run that begins anew; nothing is deleted. Where they are now."""
    from trainguard.checkpoints import quarantine

    try:
        folders = checkpoint_folders(output_dir)
    except OSError:
        return []
    try:
        return [quarantine(folder, reasons=["a run began anew in this folder"]) for folder in folders]
    except OSError as error:
        raise UsageError(
            f"{output_dir}: its checkpoints cannot be set aside ({error.strerror or error}); take another output_dir"
        ) from None
