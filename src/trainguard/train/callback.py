"""GuardCallback: puts the instruments of this room on the hooks of a Trainer. What they do is in their own modules.

The order of the hooks in a step (transformers 5.23, trainer.py:1819 `_run_epoch`, 2230 `_maybe_log_save_evaluate`):
on_step_begin; forward and backward of each micro-batch, on_substep_end between them; clipping; on_pre_optimizer_step;
the optimizer; on_optimizer_step; on_step_end; on_log; evaluation, on_evaluate; the save, on_save. The Trainer's own
callback comes first in each hook, so that on_step_end knows whether there will be a save, and can forbid it.
"""

# ruff: noqa: ARG002 - all hooks get the same arguments, and most need a few of them

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from trainguard.errors import UsageError
from trainguard.facts.config.schema_blocks import Action, Alerts
from trainguard.findings import Finding
from trainguard.signals.samples import METHODS, Method, Run
from trainguard.train.actions import NotReadyError, checked_actions
from trainguard.train.alerts import Alerter, alert_settings
from trainguard.train.before import before_first_step
from trainguard.train.caller import Caller
from trainguard.train.checkpoints import Checkpoints
from trainguard.train.deciding import Decision
from trainguard.train.declared import declared_of, method_of
from trainguard.train.events import FOLDER, STACKS
from trainguard.train.generations import answers, read_prompts, record_of
from trainguard.train.labels import can_sample
from trainguard.train.looking import ModelWatch
from trainguard.train.never_raising import never_raises
from trainguard.train.nonfinite import nonfinite_parameters
from trainguard.train.poison import Poison
from trainguard.train.recorder import Recorder
from trainguard.train.resuming import settle_for_resume
from trainguard.train.saying import Saying
from trainguard.train.stopping import EXIT_STOPPED, StopSignals
from trainguard.train.together import Together

logger = logging.getLogger(__name__)

_DEADLINE_SECONDS = 25.0  # Kubernetes and Slurm kill 30 s after SIGTERM


class GuardCallback(TrainerCallback):
    """Watches a run of any Trainer: `Trainer(..., callbacks=[GuardCallback()])`, in one process or in several.

    Before the first step it raises NotReadyError where the run cannot train. While training it writes findings to
    `<output_dir>/trainguard/events.jsonl`, logs and alerts them, and does what `actions` says: by code one of log,
    alert, checkpoint_and_stop, stop and rollback; by default an error stops the run and a warning never does.

    - `method` is sft, dpo, grpo, kto, reward or pretrain; told from the Trainer's arguments where it is not given.
    - `thresholds` are other values for the signals, by code and key.
    - `alerts` are Apprise's addresses, or a mapping with urls, webhook, trackio, min_severity and window_seconds.
    - `prompts` is a text file, one prompt a line, answered at each evaluation.
    - `verify_checkpoints`: each save gets a manifest, and old ones are deleted by trainguard in the Trainer's place, so
      that verified ones remain. `keep` is their number; None is `save_total_limit`.
    - `stop_deadline_seconds` is the time that SIGTERM or SIGINT leaves to save and verify. `exit_on_request` ends the
      process with code 75 when that is done; without it `train()` returns, and `exit_code` says 75.
    - `on_finding` is called with each finding.

    `findings` are all so far, `stopped` says why the run was stopped (None: it was not), `exit_code` is 0, 1 after
    an error or 75, `rollback_to` is the checkpoint to go on from where the weights are lost.

    Raises UsageError for arguments that do not fit, UnreadableInputError where `prompts` cannot be read.
    """

    def __init__(
        self,
        *,
        method: Method | None = None,
        actions: Mapping[str, Action] | None = None,
        thresholds: Mapping[str, Mapping[str, float]] | None = None,
        alerts: Alerts | Mapping[str, Any] | Sequence[str] | None = None,
        prompts: str | Path | None = None,
        verify_checkpoints: bool = True,
        keep: int | None = None,
        stop_deadline_seconds: float = _DEADLINE_SECONDS,
        exit_on_request: bool = True,
        on_finding: Callable[[Finding], None] | None = None,
    ) -> None:
        if method is not None and method not in METHODS:
            raise UsageError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
        self._method = method
        self._actions = checked_actions(actions or {})
        self._thresholds = thresholds or {}
        self._alert_settings = alert_settings(alerts)
        self._prompts = read_prompts(prompts) if prompts is not None else []
        self._verify = verify_checkpoints
        self._keep = keep
        self._deadline = stop_deadline_seconds
        self._exit_on_request = exit_on_request
        self._on_finding = on_finding
        self._broken: set[str] = set()
        self._reset()

    def _reset(self) -> None:
        self.stopped: str | None = None
        self.exit_code = 0
        self.rollback_to: Path | None = None
        self._decision = Decision(self._actions)
        self._saying = Saying(self._decision, self._on_finding)
        self._poison: Poison | None = None
        self._watch: ModelWatch | None = None
        self._record: Recorder | None = None
        self._checkpoints: Checkpoints | None = None
        self._signals: StopSignals | None = None
        self._together = Together()
        self._step_began = time.monotonic()

    @property
    def findings(self) -> list[Finding]:
        """All findings of this run so far."""
        return self._saying.findings

    # Before the first step.

    @never_raises
    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Puts broken checkpoints where nobody looks: the Trainer chooses by number, before the other hooks."""
        if not self._verify or not state.is_world_process_zero:
            return
        for folder, why in settle_for_resume(Path(args.output_dir)).quarantined:
            logger.warning("set aside %s, so that no run resumes from it: %s", folder, why)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._close()
        self._reset()
        self._broken.clear()
        self._begin(args, state, control, **kwargs)
        # A broken checkpoint that was resumed from is here too, whose code does not stop a run in flight.
        blocks = self._decision.wants_to_stop or any(
            finding.severity == "error" and finding.code not in self._actions for finding in self.findings
        )
        blocked, *_ = self._together.greatest([float(blocks)])
        if blocked:
            self.stopped = self._decision.why or "another process is not ready"
            self.exit_code = 1
            self._close()
            raise NotReadyError(self.findings)
        return control

    @never_raises
    def _begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model, optimizer = kwargs.get("model"), kwargs.get("optimizer")
        scheduler = self.judged_schedule(kwargs.get("lr_scheduler"))
        dataloader, step = kwargs.get("train_dataloader"), int(state.global_step)
        output_dir = Path(args.output_dir)
        caller = Caller()
        if state.is_world_process_zero:
            declared = declared_of(args, state, model=model, optimizer=optimizer, lr_scheduler=scheduler)
            run = Run(method=self._method or method_of(args), declared=declared, thresholds=self._thresholds)
            self._record = self._saying.record = Recorder(output_dir, run, resumed_at=step)
            self._saying.alerter = Alerter(
                self._alert_settings, run=output_dir.name, trackio="trackio" in (args.report_to or ())
            )
            self._record.start(step)
        self._poison = Poison(caller.trainer)
        self._signals = StopSignals(deadline_seconds=self._deadline, is_training=caller.is_training)
        self._signals.install(output_dir / FOLDER / STACKS if state.is_world_process_zero else None)
        self._checkpoints = Checkpoints(
            args,
            caller.trainer,
            verify=self._verify,
            keep=self._keep,
            writes=bool(state.is_world_process_zero),
            on_verified=self._verified,
        )
        caller.forget()
        found = before_first_step(
            model=model,
            args=args,
            max_steps=state.max_steps,
            global_step=step,
            optimizer=optimizer,
            lr_scheduler=scheduler,
            dataloader=dataloader,
            processing_class=kwargs.get("processing_class"),
        )
        for finding in [*found, *self._checkpoints.resumed_from(step)]:
            self._saying.say(finding, step)
        if model is not None:
            self._watch = ModelWatch(model, optimizer, args, count_labels=not can_sample(dataloader), first_step=step)
            self._watch.start()
        self.has_begun(step, self._record)

    # For guards that know more of the run.

    def judged_schedule(self, lr_scheduler: Any) -> Any:
        """The schedule that is compared with the planned steps; None where the two do not belong together."""
        return lr_scheduler

    def has_begun(self, step: int, record: Recorder | None) -> None:
        """Called when all is ready for the first step. `record` is None in the processes that write nothing."""

    # The loop.

    @never_raises
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        step = int(state.global_step)
        if self._watch is not None and (finding := self._watch.left_gradients(step)) is not None:
            self._saying.say(finding, step)

    @never_raises
    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._beat(state)

    @never_raises
    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self._watch is not None:
            self._watch.nonfinite.note_gradients()

    @never_raises
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        step = int(state.global_step)
        if self._record is not None and not self._record.first_step_made:
            self._record.first_step(step)
        self._look(control, step)
        self._decide(control, step)
        if control.should_save and self._checkpoints is not None:
            self._phase("save", step)
            if not self._checkpoints.before_save(step, stopping=self._decision.stops):
                control.should_save = False
            self._saying.say_all(self._checkpoints.findings(), step)
        elif control.should_evaluate:
            self._phase("evaluate", step)
        else:
            self._beat(state)

    @never_raises
    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        step = int(state.global_step)
        if control.should_save:
            self._look(control, step)
            self._decide(control, step)
        self._decision.apply(control, save=False)
        if control.should_save and self._checkpoints is not None and not self._checkpoints.before_save(step):
            control.should_save = False

    @never_raises
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> Any:
        step = int(state.global_step)
        values = dict(logs or {})
        if self._watch is not None:
            if "loss" in values:
                values.update(self._watch.measured())
                for finding in self._watch.frozen_since():
                    self._saying.say(finding, step)
            if (masked := self._watch.masked_labels(step)) is not None:
                self._saying.say(masked, step)
        if self._record is not None:
            self._saying.say_all(self._record.metrics(values, step), step)
        if self._checkpoints is not None:
            self._saying.say_all(self._checkpoints.findings(), step)
        if self._together.alone:
            self._apply(control, step)

    @never_raises
    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._phase("evaluate", int(state.global_step))

    @never_raises
    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> Any:
        step = int(state.global_step)
        sharded = bool(getattr(args, "deepspeed", None) or getattr(args, "fsdp", None))
        asks = self._prompts and model is not None and not sharded and self._record is not None
        given = answers(model, kwargs.get("processing_class"), self._prompts) if asks else []
        if given and self._record is not None:
            self._saying.say_all(self._record.feed({"step": step, **record_of(given)}), step)
        self._phase("train", step)
        if self._together.alone:
            self._apply(control, step)

    @never_raises
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        step = int(state.global_step)
        if self._checkpoints is not None:
            self._together.barrier()  # the other ranks write their random numbers into the same folder
            lost = self._decision.poisoned or (
                self._watch is not None and bool(nonfinite_parameters(self._watch.named))
            )
            best = state.best_model_checkpoint
            if not lost and (wrong := self._checkpoints.after_save(step, kwargs.get("model"), best=best)) is not None:
                self._saying.say(wrong, step)
            self._saying.say_all(self._checkpoints.findings(), step)
        if self._record is not None:
            self._record.save(step)
            self._record.events.event("save", step=step)
        self._phase("train", step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        self._end(args, state, control, **kwargs)
        self._close()
        if self._decision.requested and self.exit_code == EXIT_STOPPED and self._exit_on_request:
            raise SystemExit(EXIT_STOPPED)
        return control

    @never_raises
    def _end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = int(state.global_step)
        verified = self._checkpoints.finish(self._signals) if self._checkpoints is not None else None
        self._together.barrier()  # a process that ends makes its launcher end the others, which may still verify
        self._saying.say_all(self._checkpoints.findings() if self._checkpoints is not None else (), step)
        complete = state.max_steps and step >= state.max_steps
        decision = self._decision
        if decision.stops and not (complete and decision.requested):
            self.stopped = decision.why
            self.exit_code = EXIT_STOPPED if decision.requested and not decision.poisoned else 1
            if decision.action == "rollback" or decision.poisoned:
                self.rollback_to = verified
        if self._record is None:
            return
        # A stop that another callback asked for (early stopping, say) is nobody's fault.
        others = control.should_training_stop and not complete and self.stopped is None
        if not others:
            end = {"event": "end", "step": step, "exit_code": self.exit_code}
            self._saying.say_all(self._record.feed(end), step)
        if self.exit_code == 0 and any(finding.severity == "error" for finding in self.findings):
            self.exit_code = 1
        names = {"verified": verified, "rollback_to": self.rollback_to}
        last = {name: path.name if path is not None else None for name, path in names.items()}
        self._record.events.event("end", step=step, exit_code=self.exit_code, stopped=self.stopped, **last)
        self._record.phase("idle", step)

    # What the hooks share.

    def _look(self, control: Any, step: int) -> None:
        """Are the losses and weights finite? Before a save this is found out for certain, else as far as is known."""
        if self._watch is None or self._poison is None or self._decision.poisoned:
            return
        saving = control.should_save or control.should_evaluate
        try:
            finding = self._poison.check(self._watch, step, certain=saving)
        except Exception:  # the other processes wait for the decision that comes next
            self._poison = None
            logger.exception("GuardCallback could not look at the weights; the run goes on without that")
            return
        if finding is not None:
            self._decision.poisoned = self._poison.weights_lost
            self._saying.muted = frozenset({"RUN001", "RUN002"}) if self._poison.said else frozenset()
            self._saying.say(finding, step)

    def _decide(self, control: Any, step: int) -> None:
        """What the loop does after this step, agreed on by all processes."""
        decision = self._decision
        if self._signals is not None and self._signals.requested is not None and not decision.requested:
            decision.requested = True
            decision.want("checkpoint_and_stop", f"{self._signals.requested} was received")
        if (fenced := self._checkpoints.fenced if self._checkpoints is not None else None) is not None:
            decision.want("stop", str(fenced))
        now = time.monotonic()
        seconds, self._step_began = now - self._step_began, now
        together = self._together
        if not together.alone:
            if not (control.should_save or control.should_evaluate or together.due(step)):
                return
            *numbers, slowest = together.greatest([*decision.to_numbers(), seconds])
            decision.settle_with(numbers)
            together.ask_again(step, slowest)
        self._apply(control, step)

    def _apply(self, control: Any, step: int) -> None:
        """Tells the Trainer what was decided, at a place from which it goes on to save."""
        decision = self._decision
        if self._together.alone:
            decision.settle()
        decision.apply(control, save=True)
        if decision.stops and self.stopped is None:
            self.stopped = decision.why
            logger.warning("the run stops at step %d: %s", step, decision.why)
            if self._record is not None:
                self._record.events.event("stop", step=step, action=decision.action, why=decision.why)

    def _verified(self, folder: Path, step: int) -> None:
        """Comes from the thread that verifies."""
        if self._record is not None:
            self._record.events.event("verified", step=step, checkpoint=folder.name, path=str(folder))

    def _phase(self, name: Any, step: int) -> None:
        if self._record is not None:
            self._record.phase(name, step)

    def _beat(self, state: Any) -> None:
        if self._record is not None:
            self._record.heartbeat.beat(step=int(state.global_step))

    def _close(self) -> None:
        for part in (self._watch, self._checkpoints, self._record, self._saying.alerter):
            if part is not None:
                try:
                    part.close()
                except Exception:
                    logger.exception("%s could not be closed", type(part).__name__)
        if self._signals is not None:
            self._signals.restore()
