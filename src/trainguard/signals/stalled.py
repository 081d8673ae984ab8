"""RUN008: no new step for much longer than this run has ever needed."""

from __future__ import annotations

import math

import msgspec

from trainguard.findings import Finding
from trainguard.signals._robust import push
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Phase, Run, Sample

_WINDOW = 32
# Ticks since the last sign of life before anything is said: one alone may be a machine that slept.
_TICKS = 2
# A pause that is over is said from this many times the limit on.
_LONG_OVER = 4.0
# Seconds that a step may take before anything is known of its pace.
_SLOW_STEP = 30.0
# Steps from log to log where that is not declared: between the defaults of TRL (10; trl 1.16, sft_config.py) and of
# the Trainer (500; transformers 5.23, training_args.py). With the load it makes an hour.
_USUAL_INTERVAL = 60
# TrainingArguments.save_steps where it is not set (transformers 5.23, training_args.py).
_USUAL_SAVE = 500
# A first evaluation or save may take as long as this many intervals of the run.
_PAUSE_INTERVALS = 20.0


class StalledState(State, frozen=True, kw_only=True):
    """Times in seconds. `alive_at` is the last sign of life, `mark` where the running interval of steps began.

    `paces` are seconds a step, without evaluations and saves; `gaps` steps from one log to the next.
    """

    now: float | None = None
    alive_at: float | None = None
    mark: float | None = None
    step: int | None = None
    progress: int = 0
    paces: tuple[float, ...] = ()
    gaps: tuple[float, ...] = ()
    evaluation: float = 0.0
    save: float = 0.0
    eval_every: int | None = None
    evaluated_at: int | None = None
    epoch_turns: bool = False
    own_phase: bool = False
    phases_told: bool = False
    paused_since: float | None = None
    paused_for: str = ""
    ticks: int = 0
    ended: bool = False
    said: bool = False


class Stalled(Signal[StalledState]):
    """The run stands still.

    *What it sees*: seconds since the last sign of life (a log, an evaluation, a change of phase), held against the
    slowest interval between logs that this run has had, plus a floor. Each phase has its own: loading, tokenising,
    evaluating and saving take longer, and are compared with their own longest time so far.

    *Why it costs you*: a hang (a collective that waits for a lost rank, a data worker that died, a file system that
    does not answer) holds the GPUs until somebody looks.

    *What it is not*: the load before the first step, a slow first step (compilation), evaluation, saving, many steps
    between two logs, the time after the end.

    *What to do*: dump the stacks (SIGUSR1 under the guard, or py-spy dump), end the process tree, resume from the last
    verified checkpoint; look at data workers, the interconnect and the storage.
    """

    code = "RUN008"
    name = "stalled"
    severity = "error"
    thresholds = (
        Threshold(
            key="floor_seconds",
            default=300,
            unit="seconds",
            about="added to the slowest interval while it is known that no evaluation or save is going on",
            source="half of the time-out of a collective (torch 2.13: 10 minutes with NCCL)",
        ),
        Threshold(
            key="unknown_floor_seconds",
            default=600,
            unit="seconds",
            about="the same where the run says nothing of its evaluations and saves",
            source="time-out of a collective (torch 2.13, distributed/constants.py: 10 minutes with NCCL)",
        ),
        Threshold(
            key="slowest_factor",
            default=4,
            unit="times the slowest interval",
            about="how much longer than the slowest interval between two logs so far",
            source="measured: intervals of healthy runs vary by less than 4 from their slowest",
        ),
        Threshold(
            key="pause_factor",
            default=5,
            unit="times the longest pause",
            about="how much longer than the longest evaluation (or save) so far",
            source="convention: data, and so time, of an evaluation are the same each time",
        ),
        Threshold(
            key="pause_seconds",
            default=1800,
            unit="seconds",
            about="for the first evaluation and the first save, whose length nobody knows",
            source="convention: 30 minutes, as for the load",
        ),
        Threshold(
            key="load_seconds",
            default=1800,
            unit="seconds",
            about="from the start, a resume or a new file to the first step: load, compilation",
            source="convention: 30 minutes; 140 GB of weights at 100 MB/s need 23",
        ),
        Threshold(
            key="tokenize_seconds",
            default=7200,
            unit="seconds",
            about="for tokenising, which depends on the data only",
            source="convention: 2 hours",
        ),
        Threshold(
            key="final_seconds",
            default=3600,
            unit="seconds",
            about="after the last planned step: last evaluation, last save, upload",
            source="convention: 1 hour",
        ),
    )
    state_type = StalledState

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._every = {"eval": run.count("eval_steps"), "save": run.count("save_steps")}
        self._planned = run.count("max_steps")
        self._interval = run.count("logging_steps")

    def step(self, state: StalledState, sample: Sample) -> tuple[StalledState, tuple[Finding, ...]]:
        t = sample.t
        if t is not None and state.now is not None and t < state.now - 1:
            # a clock that begins again: another process
            state = StalledState(now=t, alive_at=t, mark=t, step=state.step, said=state.said)
        now = t if t is not None else state.now
        advanced = sample.step is not None and state.step is not None and sample.step > state.step
        if sample.kind == "tick" and not advanced:
            return self._tick(msgspec.structs.replace(state, now=now, ticks=state.ticks + 1), sample, now)
        if sample.kind == "other" or now is None:
            return state, ()
        findings = self._over(state, sample, now)
        if sample.kind in ("start", "resume", "file"):
            at = sample.finite("from_step")
            step = int(at) if at is not None and at >= 0 else state.step
            return msgspec.structs.replace(
                state, now=now, alive_at=now, mark=now, step=step, progress=0, ticks=0, ended=False, said=False
            ), findings
        if sample.kind in ("end", "summary"):
            ended = sample.kind == "end"
            return msgspec.structs.replace(state, now=now, alive_at=now, ticks=0, ended=ended), findings
        if sample.kind == "phase":
            return self._phase(state, sample, now), findings
        return self._alive(state, sample, now), findings

    # -- signs of life --------------------------------------------------------------------------------------------

    def _phase(self, state: StalledState, sample: Sample, now: float) -> StalledState:
        pausing = sample.phase in ("evaluate", "save")
        return msgspec.structs.replace(
            state,
            now=now,
            alive_at=now,
            mark=now,
            ticks=0,
            said=False,
            own_phase=True,
            phases_told=state.phases_told or pausing,
            paused_since=now if pausing else None,
            paused_for=sample.phase if pausing else "",
            **self._pause_learnt(state, now),
        )

    def _pause_learnt(self, state: StalledState, now: float) -> dict[str, float]:
        """The length of the pause that ends now, where one was told."""
        if state.paused_since is None:
            return {}
        length = now - state.paused_since
        if state.paused_for == "evaluate":
            return {"evaluation": max(state.evaluation, length)}
        return {"save": max(state.save, length)}

    def _alive(self, state: StalledState, sample: Sample, now: float) -> StalledState:
        step = sample.step if sample.step is not None and sample.step >= 0 else None
        interval = max(0.0, now - state.mark) if state.mark is not None else None
        if sample.kind == "evaluation":
            every = state.eval_every
            if step and every is None and step != state.evaluated_at:
                every = step - (state.evaluated_at or 0) if step > (state.evaluated_at or 0) else step
            return msgspec.structs.replace(
                state,
                now=now,
                alive_at=now,
                mark=now,
                ticks=0,
                said=False,
                evaluation=max(state.evaluation, interval or 0.0),
                eval_every=every,
                evaluated_at=step if step is not None else state.evaluated_at,
            )
        gap = float(step - state.step) if step is not None and state.step is not None else 1.0
        if gap <= 0:  # a duplicate, or steps that are done again
            gap = 1.0
        paces, gaps, save = state.paces, state.gaps, state.save
        if state.progress >= 1 and interval is not None and interval > 0 and not state.said:
            usual = max(paces) * gap if paces else 0.0
            if paces and "save" in self._boundary(state):
                save = max(save, interval)
            if not paces or interval <= 3 * usual or not self._boundary(state):
                paces, gaps = push(paces, interval / gap, _WINDOW), push(gaps, gap, _WINDOW)
        return msgspec.structs.replace(
            state,
            now=now,
            alive_at=now,
            mark=now,
            step=step if step is not None else state.step,
            progress=min(3, state.progress + 1),
            paces=paces,
            gaps=gaps,
            save=save,
            own_phase=False,
            epoch_turns=_epoch_turns(sample.finite("epoch"), step, gap),
            ticks=0,
            said=False,
            ended=False,
        )

    # -- the verdict ----------------------------------------------------------------------------------------------

    def _boundary(self, state: StalledState) -> tuple[str, ...]:
        """What may be going on after this step as far as the plan tells: an evaluation, a save."""
        step = state.step
        if step is None:
            return ("evaluation", "save")
        # logs may lie up to one logging interval before the boundary that the run has reached since
        ahead = int(state.gaps[-1]) if state.gaps else (self._interval or 1)
        plan = (
            ("evaluation", self._every["eval"]),
            ("evaluation", state.eval_every),
            ("save", self._every["save"] or _USUAL_SAVE),
        )
        due = {kind for kind, each in plan if each is not None and (step % each == 0 or step % each + ahead > each)}
        if state.epoch_turns:
            due |= {"evaluation", "save"}
        return tuple(sorted(due))

    def _limit(self, state: StalledState, phase: Phase) -> tuple[float, str] | None:
        """Seconds that nothing may be heard, and what is waited for. None: as long as it likes."""
        value = self.threshold
        if phase == "idle" or state.ended:
            return None
        if phase == "tokenize":
            return value("tokenize_seconds"), "tokenising"
        if state.own_phase and phase == "load":
            return value("load_seconds"), "the load"
        if state.own_phase and phase in ("evaluate", "save"):
            longest = state.evaluation if phase == "evaluate" else state.save
            return self._pause(state, longest), "the evaluation" if phase == "evaluate" else "the save"
        beyond = state.step - self._planned if self._planned is not None and state.step is not None else -1
        if 0 <= beyond < max(state.gaps[-1:], default=1.0):
            final = max(value("final_seconds"), self._pause(state, 0.0))
            return final, "the end of the run"
        if state.progress == 0 or not state.paces:
            # how long a step takes is not known yet, and a log may stand for many
            steps = self._interval or _USUAL_INTERVAL
            return value("load_seconds") + _SLOW_STEP * steps, "the first steps"
        slowest = max(state.paces) * max(state.gaps)
        told = state.phases_told or any(self._every.values()) or state.eval_every is not None
        limit = value("floor_seconds") + value("slowest_factor") * slowest
        if not told:
            # a run that promises nothing at all may evaluate at any time
            factor = value("slowest_factor") if self.run.declared else _PAUSE_INTERVALS
            limit = value("unknown_floor_seconds") + factor * slowest
        due = () if state.phases_told else self._boundary(state)
        if due:
            known = {"evaluation": state.evaluation, "save": state.save}
            pause = max(self._pause(state, known[kind]) for kind in due)
            return max(limit, pause), f"a step or {' or '.join(due)}"
        return limit, "the next step"

    def _pause(self, state: StalledState, longest: float) -> float:
        if longest <= 0:
            slowest = max(state.paces) * max(state.gaps) if state.paces else 0.0
            return self.threshold("pause_seconds") + _PAUSE_INTERVALS * slowest
        return self.threshold("unknown_floor_seconds") + self.threshold("pause_factor") * longest

    def _tick(self, state: StalledState, sample: Sample, now: float | None) -> tuple[StalledState, tuple[Finding, ...]]:
        if now is None or state.said or state.ended:
            return state, ()
        if state.alive_at is None:
            return msgspec.structs.replace(state, alive_at=now, mark=now), ()
        waited = now - state.alive_at
        known = self._limit(state, sample.phase)
        if known is None or waited <= known[0] or state.ticks < _TICKS:
            return state, ()
        finding = self._say(state, sample.phase, waited, known, "nothing new", "error")
        return msgspec.structs.replace(state, said=True), (finding,)

    def _over(self, state: StalledState, sample: Sample, now: float) -> tuple[Finding, ...]:
        """A long silence that ends with this record, where no tick was seen on the way."""
        if state.said or state.ended or state.alive_at is None or not state.paces:
            return ()
        failed = sample.kind == "end" and sample.value("exit_code") not in (None, 0.0)
        if sample.kind != "metrics" and not failed:
            return ()
        waited = now - state.alive_at
        known = self._limit(state, "train" if sample.phase == "unknown" else sample.phase)
        if known is None or state.ticks or waited <= known[0] * (1.0 if failed else _LONG_OVER):
            return ()
        what = "nothing new until the run ended" if failed else "nothing new, and went on then"
        return (self._say(state, sample.phase, waited, known, what, "error" if failed else "warn"),)

    def _say(
        self, state: StalledState, phase: Phase, waited: float, known: tuple[float, str], what: str, severity: str
    ) -> Finding:
        limit, awaited = known
        slowest = max(state.paces) * max(state.gaps) if state.paces else None
        usual = f"; the slowest interval so far was {slowest:.3g} s" if slowest is not None else ""
        where = f"after step {state.step}" if state.step is not None else "before the first step"
        return self.finding(
            f"{what} for {waited:.0f} s {where}, waiting for {awaited}{usual}: dump the stacks (SIGUSR1 under the "
            "guard), end the process tree and resume from the last verified checkpoint",
            step=state.step,
            severity="warn" if severity == "warn" else None,
            evidence={
                "waited_seconds": round(waited, 3),
                "limit_seconds": round(limit, 3),
                "slowest_interval_seconds": slowest,
                "phase": phase,
            },
        )


def _epoch_turns(epoch: float | None, step: int | None, gap: float) -> bool:
    """Whether an epoch ends before the next log: evaluations and saves may come with epochs."""
    if epoch is None or not step or epoch <= 0 or epoch > 1e6:
        return False
    return math.ceil(epoch - 1e-4) - epoch < epoch / step * gap or epoch % 1 < 1e-4
