"""From a configuration to a plan: every check, what the run is, where it begins. Loads neither torch nor a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
from trainguard.train.going_back import newest_before
from trainguard.train.identity import Identity, identify
from trainguard.train.left_out import Window
from trainguard.train.lineage import Start, choose_start, leave_out
from trainguard.train.plan import Plan, make_plan
from trainguard.train.standing import Standing, standing


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A run that has been checked and planned. `plan` is None where the configuration has problems of its own.

    `file_id`, `skip` and `before_step` are what `prepare` was given.
    """

    material: Material
    resume: bool
    on_top: bool = False
    file_id: str | None = None
    skip: tuple[Window, ...] = ()
    before_step: int | None = None
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
    file_id: str | None = None,
    skip: Sequence[Window] = (),
    before_step: int | None = None,
    options: Options = Options(),
    on_progress: BytesProgress | None = None,
) -> Prepared:
    """Checks everything and makes the plan.

    `forced` are codes of errors that do not stop the run; `resume` None leaves it to `save.resume`. `file_id`
    tells two files of the same content apart; `skip` are windows of steps to leave out (`left_out`); `before_step` is
    the global step below which the run goes back. Raises UsageError where there is no configuration, and where these do
    not fit each other.
    """
    material = gather(source, environment=environment, flags=flags, options=options, on_progress=on_progress)
    run = material.config.run
    wanted = resume if resume is not None else run is None or run.save.resume == "auto"
    if before_step is not None and not wanted:
        raise UsageError("--before-step goes back to an older checkpoint, and --no-resume takes none: pass one of them")
    prepared = Prepared(
        material=material,
        resume=wanted,
        on_top=on_top,
        file_id=file_id,
        skip=tuple(skip),
        before_step=before_step,
    )
    if run is not None:
        there = standing(material.checkpoints, before_step) if wanted else Standing()
        prepared.plan = make_plan(
            run,
            data_size(material),
            weights_of(material),
            output_dir=str(material.output_dir),
            processes=processes.count(),
            last_checkpoint_bytes=there.bytes,
            standing=there.count,
            begin_kept=there.begin_kept,
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
    return identify(material.run, paths, names, effective_batch=plan.effective_batch, file_id=prepared.file_id)


def start_of(prepared: Prepared, identity: Identity) -> Start:
    """Where the run begins, by what stands in its output folder now. Moves nothing.

    Raises UsageError as `choose_start`, `leave_out` and `newest_before` do.
    """
    plan, output = prepared.plan, prepared.material.output_dir
    latest = None
    if prepared.before_step is not None:
        latest = newest_before(output, prepared.before_step)
    elif prepared.resume:
        latest = newest_verified(output)
    start = choose_start(
        latest,
        identity,
        steps=plan.steps if plan is not None else None,
        resume=prepared.resume,
        on_top=prepared.on_top,
    )
    start = leave_out(start, prepared.skip)
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
