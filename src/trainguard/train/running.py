"""Runs what was prepared: loads, trains, saves the result, and says how it ended."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trainguard.checkpoints import write_manifest
from trainguard.errors import UsageError
from trainguard.facts.data.formats import kind_of
from trainguard.fencing import Fence, FencedError
from trainguard.findings import EXIT_CLEAN, EXIT_FINDINGS, Finding
from trainguard.signals.codes import run_finding
from trainguard.signals.samples import Phase
from trainguard.train import processes
from trainguard.train.actions import NotReadyError
from trainguard.train.events import EVENTS, FOLDER, EventLog
from trainguard.train.failures import classify_exception, keep
from trainguard.train.final_save import FINAL, save_final
from trainguard.train.heartbeat import HEARTBEAT, Heartbeat, read_heartbeats
from trainguard.train.identity import Identity
from trainguard.train.lineage import Continuation, Start, described_run
from trainguard.train.model_card import last_metrics, library_versions, model_card
from trainguard.train.preparing import Prepared, newest_verified
from trainguard.train.settling import say_attempt
from trainguard.train.skipped import SkippedRows
from trainguard.train.space import DiskFullError
from trainguard.train.stopped_early import is_early_stop, is_request, stopped_early, stopped_saving
from trainguard.train.stopping import EXIT_STOPPED

if TYPE_CHECKING:
    from trainguard.train.file_guard import FileGuard
    from trainguard.train.telling import Tell
    from trainguard.train.trainer import GuardedSFTTrainer


@dataclass(slots=True)
class _Session:
    """One run in this process."""

    prepared: Prepared
    identity: Identity
    start: Start
    tell: Tell
    heart: Heartbeat
    events: EventLog
    keep_moments: bool
    trainer: GuardedSFTTrainer | None = None
    guard: FileGuard | None = None
    skipped: SkippedRows | None = None
    planned: int = 0
    doing: Phase = "load"

    @property
    def output_dir(self) -> Path:
        return self.prepared.material.output_dir

    def phase(self, phase: Phase, words: str) -> None:
        self.doing = phase
        self.heart.beat(phase)
        self.tell("phase", name=phase, words=words)

    def manifest(self) -> dict[str, Any]:
        """What the manifests of this run hold."""
        schedule = self.prepared.material.run.queue.schedule
        return described_run(self.identity, self.start, planned_steps=self.planned, schedule=schedule)


def train(prepared: Prepared, identity: Identity, start: Start, tell: Tell, *, keep_moments: bool = False) -> int:
    """Trains what was prepared, from `start` on; the exit code. Raises UsageError for what cannot be asked for."""
    own = prepared.material.output_dir / FOLDER
    speaks = processes.rank() == 0
    session = _Session(
        prepared=prepared,
        identity=identity,
        start=start,
        tell=tell,
        heart=Heartbeat((own / HEARTBEAT) if speaks else Path(os.devnull)),
        events=EventLog((own / EVENTS) if speaks else Path(os.devnull)),
        keep_moments=keep_moments,
    )
    say_attempt(session.events, start, identity)
    try:
        return _train(session)
    except (SystemExit, KeyboardInterrupt) as request:
        if is_early_stop(request, session.doing, start, session.trainer):
            return stopped_early(session.doing, start, tell, session.events)
        if session.doing == "save" and is_request(request):
            return stopped_saving(session.planned, start, tell, session.events)
        raise
    except UsageError:
        raise
    except FencedError as error:
        return _fenced(session, error)
    except DiskFullError as error:
        return _end(session, EXIT_FINDINGS, [error.finding])
    except NotReadyError as error:
        return _end(session, EXIT_FINDINGS, [each for each in error.findings if each.severity == "error"])
    except Exception as error:
        return _failed(session, error)
    finally:
        session.heart.beat("idle")
        session.heart.close()
        if session.skipped is not None:
            session.skipped.close()
        session.events.close()


def _train(session: _Session) -> int:
    trainer, guard = _build(session)
    start = session.start
    if start.kind == "complete":
        return _complete(session, trainer)
    session.events.event("planned", step=start.step, planned_steps=session.planned, step_before=start.step_before)
    if session.planned <= 0:
        gone = "after tokenizing" if not start.skipped else "without the steps that are left out"
        words = f"nothing of the data is left to train on {gone}, so no step would be made"
        return _end(session, EXIT_FINDINGS, [run_finding("RUN015", f"{words}; look at max_length and at the data")])
    if start.kind == "resume" and start.done >= session.planned:
        return _complete(session, trainer)
    if (begin := session.output_dir / f"checkpoint-{start.step_before}").is_dir():
        trainer.keeper.protect(begin)  # whatever becomes of this file, the lineage can go back to where it began
    trainer.checkpoint_run = session.manifest()
    trainer.checkpoint_base = _base_folder(session.prepared)
    session.doing = "train"
    session.heart.beat("train", step=start.step)
    trainer.train(str(start.checkpoint) if start.kind == "resume" else None)
    if trainer.keeper.fenced is not None:
        raise trainer.keeper.fenced
    said = [each for each in guard.findings if each.severity == "error"]
    if guard.exit_code == EXIT_STOPPED:
        kept = newest_verified(session.output_dir)
        name = kept.name if kept is not None else "no checkpoint"
        return _end(
            session, EXIT_STOPPED, [], f"stopped on request: {name} stands, and the same command goes on from it"
        )
    if guard.stopped is not None:
        return _end(session, EXIT_FINDINGS, [], f"stopped: {guard.stopped}")
    early = _ended_early(trainer, session.planned, said)
    if early is not None:
        return _end(session, EXIT_FINDINGS, [early])
    _save_result(session, trainer)
    return _end(session, EXIT_FINDINGS if said else EXIT_CLEAN, [])


def _build(session: _Session) -> tuple[GuardedSFTTrainer, FileGuard]:
    """Tokenizer, data, model and trainer, each under its phase."""
    material, run, start = session.prepared.material, session.prepared.material.run, session.start
    session.phase("load", "loading torch and the training libraries")
    from transformers import PrinterCallback, set_seed
    from trl.data_utils import is_conversational, is_conversational_from_value

    from trainguard.train import setup
    from trainguard.train.arguments import check_method, precision_of, sft_arguments
    from trainguard.train.file_guard import FileGuard
    from trainguard.train.telling import TellingCallback
    from trainguard.train.trainer import GuardedSFTTrainer

    device = setup.this_device()
    setup.quieten()
    precision = precision_of(run, device)
    check_method(run, device)
    set_seed(run.seed)
    named, folder = material.config.named, _folder(material.config.path)
    base = _place(named.base_model, run.base_model or "")
    tokenizer = setup.load_tokenizer(
        run, _place(named.tokenizer, run.tokenizer or "") if run.tokenizer else base, folder
    )
    session.phase("load", "loading the data")
    rows = setup.load_data(named.data)
    evaluated = run.eval.data is not None and run.eval.strategy != "no"
    eval_rows = setup.load_data([named.eval_data]) if evaluated and named.eval_data is not None else None
    if eval_rows is not None and run.eval.samples is not None and run.eval.samples < len(eval_rows):
        eval_rows = eval_rows.select(range(run.eval.samples))
    first = rows[0] if len(rows) else {}
    chats = is_conversational(first) or is_conversational_from_value(first)
    template = setup.choose_loss(run, tokenizer, conversational=chats, completion="completion" in first)
    session.tell("note", words=f"assistant_only_loss is {str(template.assistant_only).lower()}: {template.why}")
    arguments = setup.make_arguments(
        sft_arguments(
            run,
            output_dir=str(session.output_dir),
            precision=precision,
            assistant_only_loss=template.assistant_only,
            device=device,
        )
    )
    session.phase("load", f"loading {base} ({run.method}, {precision}, on {device.name})")
    model = setup.load_model(run, base, precision)
    session.phase("tokenize", f"tokenizing {len(rows):,} examples")
    continuation = Continuation(
        step_before=start.step_before,
        weights=start.checkpoint if start.kind == "next" else None,
        moments=session.keep_moments,
        schedule=run.queue.schedule,
        skipped=start.skipped,
        epoch_examples=start.epoch_examples,
    )
    guard = session.guard = FileGuard(
        continuation=continuation,
        file_name=", ".join(each.name for each in session.identity.files) or ", ".join(session.identity.names),
        actions=dict(run.guard.actions),
        thresholds=dict(run.guard.thresholds),
        alerts=run.alerts,
        prompts=folder / run.eval.prompts if run.eval.prompts is not None else None,
        keep=run.save.keep,
        stop_deadline_seconds=run.guard.stop_deadline_seconds,
        exit_on_request=False,
        on_finding=lambda finding: session.tell("finding", finding=finding),
    )
    trainer = session.trainer = GuardedSFTTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=eval_rows,
        processing_class=tokenizer,
        peft_config=setup.adapter(run),
        callbacks=[guard, TellingCallback(session.tell, step_before=start.step_before)],
        continuation=continuation,
    )
    trainer.remove_callback(PrinterCallback)
    session.planned = trainer.planned_steps()
    session.start = replace(start, epoch_examples=trainer.examples_of_an_epoch())
    dropped = len(rows) - len(cast(Sized, trainer.train_dataset))
    if start.skipped and processes.rank() == 0:
        session.skipped = SkippedRows(
            session.output_dir,
            file_number=start.file_number,
            dataset=trainer.train_dataset,
            tokenizer=tokenizer,
            file=None if dropped or run.packing else _lines_of(session.prepared),
        )
        trainer.on_left_out = session.skipped.note
    if dropped > 0 and not run.packing:
        session.tell(
            "note",
            words=f"{dropped:,} of {len(rows):,} examples have nothing left to learn within max_length "
            f"{run.max_length:,}, and are left out",
        )
    return trainer, guard


def _ended_early(trainer: GuardedSFTTrainer, planned: int, said: list[Finding]) -> Finding | None:
    """RUN015 or RUN026 where fewer steps were made than planned, unless the guard has said so."""
    done = trainer.own_steps
    if done >= planned or any(each.code in ("RUN015", "RUN026") for each in said):
        return None
    code = "RUN026" if done else "RUN015"
    message = (
        f"{done:,} of {planned:,} planned steps were made, though the Trainer ended without an error; run the same "
        "command again to go on from the last checkpoint"
    )
    evidence = {"steps": done, "planned_steps": planned}
    return run_finding(code, message, step=int(trainer.state.global_step), evidence=evidence)


def _complete(session: _Session, trainer: GuardedSFTTrainer) -> int:
    """All steps were made by an earlier process: what may be missing is the result."""
    start, base = session.start, _base_folder(session.prepared)
    assert start.checkpoint is not None
    if start.kind == "complete":
        session.planned = start.planned_steps or session.planned
    elif processes.rank() == 0:
        # What was still planned when it was saved is left out now: the next file must not take it for unfinished.
        with Fence.of(session.output_dir).committing():
            write_manifest(start.checkpoint, step=start.step, run=session.manifest(), base_model=base)
    trainer._load_from_checkpoint(str(start.checkpoint))
    trainer.state.global_step = start.step
    _save_result(session, trainer)
    return _end(session, EXIT_CLEAN, [])


def _save_result(session: _Session, trainer: GuardedSFTTrainer) -> None:
    session.phase("save", f"saving the result to {session.output_dir / FINAL}")
    if trainer.args.world_size > 1:
        trainer.accelerator.wait_for_everyone()
    sharded = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled
    if not trainer.args.should_save and not sharded:
        return
    run = session.prepared.material.run

    def write(folder: Path) -> None:
        trainer.save_model(str(folder), _internal_call=True)
        (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle, which nobody needs to use a model
        card = model_card(
            run,
            session.identity,
            session.start,
            name=run.model_name or f"{Path(run.base_model or 'model').name}-sft",
            planned_steps=session.planned,
            metrics=last_metrics(trainer.state.log_history),
            findings=session.guard.findings if session.guard is not None else (),
            libraries=library_versions(),
            base_on_hub=run.base_model if _base_folder(session.prepared) is None else None,
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
        config = {"data_hash": session.identity.data_hash, **session.manifest()["fields"]}
        (folder / "trainguard_run.json").write_text(json.dumps(config, indent=2, default=str) + "\n", encoding="utf-8")

    step = int(trainer.state.global_step)
    path = save_final(
        session.output_dir,
        write,
        step=step,
        run=session.manifest(),
        base_model=_base_folder(session.prepared),
        fence=Fence.of(session.output_dir),
    )
    session.tell("saved", path=str(path), step=step)
    session.events.event("save", step=step, path=str(path), final=True)


def _failed(session: _Session, error: Exception) -> int:
    """Says what an exception means, and where its traceback is."""
    run = session.prepared.material.run
    trainer, phase = session.trainer, _phase_of(session)
    kept = newest_verified(session.output_dir)
    finding = classify_exception(
        error,
        phase,
        step=int(trainer.state.global_step) if trainer is not None and trainer.state is not None else None,
        kept=kept.path if kept is not None else None,
        output_dir=session.output_dir,
        batch_size=run.batch_size,
        gradient_accumulation=run.gradient_accumulation,
    )
    path = keep(error, session.output_dir, finding)
    words = f"the traceback is in {path}" if path is not None else ""
    return _end(session, EXIT_FINDINGS, [finding], words)


def _fenced(session: _Session, error: FencedError) -> int:
    """Somebody else goes on with this folder; nothing of this process's is committed any more."""
    session.events.event("fenced", step=session.start.step, own=error.own, highest=error.highest)
    if processes.rank() == 0:
        print(error, file=sys.stderr, flush=True)
    return _end(session, EXIT_STOPPED, [], str(error))


def _phase_of(session: _Session) -> Phase:
    """What the run was doing: while it trains, the guard's heartbeats know."""
    if session.doing != "train":
        return session.doing
    beats = read_heartbeats(session.heart.path)
    return beats[-1].phase if beats and beats[-1].pid == os.getpid() else session.doing


def _end(session: _Session, code: int, findings: list[Finding], words: str = "") -> int:
    said = session.guard.findings if session.guard is not None else []
    for finding in findings:
        if finding not in said:
            session.events.finding(finding)
            session.tell("finding", finding=finding)
    done = session.trainer.own_steps if session.trainer is not None and session.trainer.state is not None else 0
    session.events.event(
        "end",
        step=session.start.step_before + done,
        exit_code=code,
        pid=os.getpid(),
        steps=done,
        made=max(done - session.start.done, 0),
        planned_steps=session.planned,
    )
    session.tell("end", code=code, steps=done, planned=session.planned, words=words)
    return code


def _place(reference: Any, given: str) -> str:
    local = reference is not None and reference.kind == "local" and reference.path is not None
    return str(reference.path) if local else given


def _folder(path: str | None) -> Path:
    return Path(path).parent if path is not None else Path()


def _lines_of(prepared: Prepared) -> Path | None:
    """The training file whose lines are the rows, None where they are those of several files, or of another format."""
    data = prepared.material.config.named.data
    path = data[0].path if len(data) == 1 and data[0].kind == "local" else None
    return path if path is not None and path.is_file() and kind_of(path).format == "jsonl" else None


def _base_folder(prepared: Prepared) -> Path | None:
    reference = prepared.material.config.named.base_model
    return reference.path if reference is not None and reference.kind == "local" else None
