"""RUN014: GPU memory climbs steadily: a leak, or fragmentation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import msgspec

from trainguard.findings import Finding
from trainguard.signals._robust import linear_fit, noise, push
from trainguard.signals.base import Signal, State, Threshold
from trainguard.signals.samples import Run, Sample

# Raw points, and points of the whole run at a resolution that falls.
_DENSE = 24
_SPARSE = 48
# Records after a start, a resume or a new file whose memory is not looked at: optimizer states, caches, warm-up.
_SETTLING = 2


class MemoryGrowthState(State, frozen=True, kw_only=True):
    """Points since the last start, resume, file or drop. `loads` are tokens (or completion length) a step, 0: unknown.

    The sparse windows keep one point of `stride`.
    """

    seen: int = 0
    step: int | None = None
    tokens: float | None = None
    steps: tuple[float, ...] = ()
    allocated: tuple[float, ...] = ()
    reserved: tuple[float, ...] = ()
    loads: tuple[float, ...] = ()
    sparse_steps: tuple[float, ...] = ()
    sparse_allocated: tuple[float, ...] = ()
    sparse_reserved: tuple[float, ...] = ()
    sparse_loads: tuple[float, ...] = ()
    stride: int = 1
    kept: int = 0
    ceiling: float = 0.0
    said: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Climb:
    """A steady climb: GB a step, GB over the window, its share of the level, and GB to come should it flatten."""

    slope: float
    rise: float
    share: float
    points: int
    to_come: float


class MemoryGrowth(Signal[MemoryGrowthState]):
    """Memory of the GPU grows from log to log and does not level off.

    *What it sees*: a steady climb of the allocated memory (a leak) or of the reserved memory while the allocated stays
    (fragmentation). With gpu_memory_gb it forecasts the step at which the run is out of memory; without it, only a
    long and strong climb is said.

    *Why it costs you*: the run dies of CUDA out of memory after hours, at a step that looks like any other.

    *What it is not*: the first steps, a high-water mark that rises with each new longest batch and levels off, memory
    that grows with the length of the sequences, a collector's saw teeth.

    *What to do*: for a leak look for tensors that are kept from step to step (a loss that is summed without `.item()`,
    outputs in a list, hooks); for fragmentation set PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True.
    """

    code = "RUN014"
    name = "memory-growth"
    severity = "warn"
    thresholds = (
        Threshold(
            key="points",
            default=8,
            unit="logged points",
            about="fewest points of a climb",
            source="measured: fewer points of a climb that levels off look like a line",
        ),
        Threshold(
            key="rise_share",
            default=0.02,
            unit="share of the level",
            about="least climb when the forecast lies within the planned steps",
            source="measured: caches and workspaces of healthy runs move by less once they have settled",
        ),
        Threshold(
            key="rise_share_unknown",
            default=0.10,
            unit="share of the level",
            about="least climb where the GPU's memory is not declared, or would last for the planned steps",
            source="convention: a tenth",
        ),
        Threshold(
            key="straight",
            default=0.85,
            unit="R^2 of the straight line",
            about="how straight the climb must be",
            source="measured: records of random lengths (a high-water mark) stay below",
        ),
    )
    state_type = MemoryGrowthState

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._gpu = run.number("gpu_memory_gb")
        self._planned = run.count("max_steps")
        self._interval = run.count("logging_steps")

    def step(self, state: MemoryGrowthState, sample: Sample) -> tuple[MemoryGrowthState, tuple[Finding, ...]]:
        if sample.kind in ("start", "resume", "file"):
            return MemoryGrowthState(), ()
        if sample.kind != "metrics":
            return state, ()
        allocated, reserved = sample.finite("memory_gb"), sample.finite("memory_reserved_gb")
        if (allocated is None and reserved is None) or (allocated or 0) < 0 or (reserved or 0) < 0:
            return state, ()
        step = sample.step
        if step is None:
            step = (state.step or 0) + (self._interval or 1)
        if state.step is not None and step <= state.step:
            # a duplicate; or a resume that nobody told
            return (state if step == state.step else MemoryGrowthState(step=step)), ()
        state = self._noted(state, sample, step, allocated, reserved)
        if len(state.steps) < int(self.threshold("points")):
            return state, ()
        if state.said:
            return state, ()
        finding = self._judge(state, sample)
        return (msgspec.structs.replace(state, said=True), (finding,)) if finding else (state, ())

    def _noted(
        self, state: MemoryGrowthState, sample: Sample, step: int, allocated: float | None, reserved: float | None
    ) -> MemoryGrowthState:
        tokens, load = sample.finite("num_tokens"), 0.0
        if tokens is not None and state.tokens is not None and tokens > state.tokens and state.step is not None:
            load = (tokens - state.tokens) / max(1, step - state.step)
        elif tokens is None:
            load = sample.finite("completion_length") or sample.finite("completions/mean_length") or 0.0
        seen = min(state.seen + 1, _SETTLING + 1)
        base = msgspec.structs.replace(state, seen=seen, step=step, tokens=tokens)
        if seen <= _SETTLING:
            return base
        # -1 stands for a value that is not there: one that comes and goes is not judged
        here = allocated if allocated is not None else -1.0
        there = reserved if reserved is not None else -1.0
        base = _after_drop(base, here if allocated is not None else there)
        kept, stride = base.kept, base.stride
        windows = (base.sparse_steps, base.sparse_allocated, base.sparse_reserved, base.sparse_loads)
        if kept % stride == 0:
            windows = tuple((*w, v) for w, v in zip(windows, (float(step), here, there, load), strict=True))  # type: ignore[assignment]
            if len(windows[0]) > _SPARSE:
                windows = tuple(w[::2] for w in windows)  # type: ignore[assignment]
                stride *= 2
        return msgspec.structs.replace(
            base,
            steps=push(base.steps, float(step), _DENSE),
            allocated=push(base.allocated, here, _DENSE),
            reserved=push(base.reserved, there, _DENSE),
            loads=push(base.loads, load, _DENSE),
            sparse_steps=windows[0],
            sparse_allocated=windows[1],
            sparse_reserved=windows[2],
            sparse_loads=windows[3],
            stride=stride,
            kept=kept + 1,
        )

    def _judge(self, state: MemoryGrowthState, sample: Sample) -> Finding | None:
        least = int(self.threshold("points"))
        dense = (state.steps, state.allocated, state.reserved, state.loads)
        sparse = (state.sparse_steps, state.sparse_allocated, state.sparse_reserved, state.sparse_loads)
        fresh = state.kept % max(1, state.stride) == 1 or state.stride == 1
        windows = [tuple(w[-least:] for w in dense), tuple(w[-14:] for w in dense), dense]
        if fresh and state.stride > 1:
            windows += [sparse, tuple(w[len(w) // 2 :] for w in sparse)]
        for steps, allocated, reserved, loads in windows:
            if len(steps) < least:
                continue
            has_allocated, has_reserved = min(allocated) >= 0, min(reserved) >= 0
            if has_allocated and _thirds_rise(allocated):
                climb = self._climb(steps, allocated, loads, few_jumps=False)
                if climb is not None and self._above(state, steps[0], climb, allocated[-1]):
                    finding = self._leak(state, sample, climb, allocated[-1])
                    if finding is not None:
                        return finding
            if has_reserved and has_allocated and _thirds_rise(reserved):
                climb = self._climb(steps, reserved, loads, few_jumps=True)
                grown = max(allocated[-1], allocated[len(allocated) // 2]) - allocated[0]
                if climb is not None and grown < 0.25 * climb.rise:
                    finding = self._fragmentation(state, sample, climb, allocated[-1], reserved[-1])
                    if finding is not None:
                        return finding
            elif has_reserved and not has_allocated and _thirds_rise(reserved):
                climb = self._climb(steps, reserved, loads, few_jumps=True)
                if climb is not None and climb.points >= 14:
                    finding = self._leak(state, sample, climb, reserved[-1], kind="reserved")
                    if finding is not None:
                        return finding
        return None

    def _above(self, state: MemoryGrowthState, since: float, climb: _Climb, now: float) -> bool:
        """Whether the climb has left all that was there before it: noise climbs too, within its range."""
        if now <= state.ceiling * 1.1:
            return False
        windows = ((state.steps, state.allocated), (state.sparse_steps, state.sparse_allocated))
        before = [value for steps, values in windows for step, value in zip(steps, values, strict=True) if step < since]
        return now > max(before, default=0.0) + 0.25 * climb.rise

    def _climb(
        self, steps: tuple[float, ...], values: tuple[float, ...], loads: tuple[float, ...], *, few_jumps: bool
    ) -> _Climb | None:
        """The climb over the window; None where it is none, levels off, comes in a few jumps or with longer inputs."""
        n = len(values)
        rises = [b - a for a, b in pairwise(values)]
        up = sum(each > 0 for each in rises)
        third = n // 3
        early, middle, late = (
            sum(part) / len(part) for part in (values[:third], values[third:-third], values[-third:])
        )
        rise = values[-1] - values[0]
        if rise <= 0 or early <= 0 or up < (0.25 if few_jumps else 0.5) * len(rises) or up < 4:
            return None
        if max(rises) > (0.5 if few_jumps else 0.35) * rise:
            return None
        slope, _, straight = linear_fit(values, steps)
        if slope <= 0 or straight < self.threshold("straight") or rise < 4 * noise_of(values):
            return None
        bend = (late - middle) / (middle - early) if middle > early else 2.0
        # fewer points tell less of a bend: the first eighth of a curve that levels off is straight too
        if bend < (0.9 if n < 12 else 0.8):
            return None
        # the thirds of a curve that levels off fall by one ratio, so that what is to come is a geometric series; half
        # more is allowed for, since the ratio is known from few points
        to_come = float("inf") if bend >= 0.97 else (late - middle) * bend / (1 - bend) * 1.5
        begin, end = loads[:third], loads[-third:]
        if min(begin, default=0) > 0 and min(end, default=0) > 0:
            longer = sum(end) / sum(begin) - 1
            if longer >= max(0.05, 0.5 * (late / early - 1)):
                return None
        return _Climb(slope=slope, rise=rise, share=rise / max(values[0], 1e-9), points=n, to_come=to_come)

    def _enough(self, climb: _Climb, free: float | None, step: int) -> tuple[bool, int | None]:
        """Whether the climb is worth a word, and the step at which the memory is full."""
        long = climb.points >= 12 and climb.share >= self.threshold("rise_share_unknown")
        if free is None:
            return long, None
        if free <= 0:
            return climb.share >= self.threshold("rise_share"), step
        full = step + int(min(1e12, free / climb.slope))
        horizon = self._planned if self._planned is not None and self._planned > step else step * 20
        if full <= horizon and climb.to_come >= free:
            return climb.share >= self.threshold("rise_share"), full
        return long and climb.to_come == float("inf"), full

    def _leak(
        self, state: MemoryGrowthState, sample: Sample, climb: _Climb, now: float, *, kind: str = "leak"
    ) -> Finding | None:
        step = state.step or 0
        free = self._gpu - now if self._gpu is not None and self._gpu > 0 else None
        enough, full = self._enough(climb, free, step)
        if not enough:
            return None
        name = "reserved" if kind == "reserved" else "allocated"
        return self.finding(
            f"{name} GPU memory climbs by {climb.slope * 1000:.3g} MB a step, now {now:.4g} GB"
            f"{self._forecast(full, step)}: look for tensors that are kept from step to step (a loss summed without "
            ".item(), outputs in a list, hooks)",
            step=sample.step,
            evidence=self._evidence(kind, climb, now, full),
        )

    def _fragmentation(
        self, state: MemoryGrowthState, sample: Sample, climb: _Climb, allocated: float, reserved: float
    ) -> Finding | None:
        step = state.step or 0
        free = self._gpu - reserved if self._gpu is not None and self._gpu > 0 else None
        enough, full = self._enough(climb, free, step)
        # the allocator gives cached blocks back before it fails, so that this one needs a wide gap
        if not enough or climb.points < 12 or climb.share < self.threshold("rise_share_unknown"):
            return None
        if reserved - allocated < 0.2 * reserved:
            return None
        evidence = self._evidence("fragmentation", climb, reserved, full) | {"allocated_gb": allocated}
        return self.finding(
            f"reserved GPU memory climbs by {climb.slope * 1000:.3g} MB a step to {reserved:.4g} GB while "
            f"{allocated:.4g} GB are in use: it is fragmented{self._forecast(full, step)}; set "
            "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, or pad to fewer different lengths",
            step=sample.step,
            evidence=evidence,
        )

    def _forecast(self, full: int | None, step: int) -> str:
        if full is None:
            return ""
        if full <= step:
            return ", which is all that the GPU has"
        end = self._planned
        fits = f", after the last planned step {end}" if end is not None and full > end else ""
        return f"; {self._gpu:g} GB are full in {full - step} steps, at step {full}{fits}"

    def _evidence(self, kind: str, climb: _Climb, now: float, full: int | None) -> dict[str, object]:
        return {
            "kind": kind,
            "gb_per_step": climb.slope,
            "rise_gb": climb.rise,
            "points": climb.points,
            "memory_gb": now,
            "gpu_memory_gb": self._gpu,
            "full_at_step": full,
        }


def noise_of(values: tuple[float, ...]) -> float:
    """Noise from point to point around the straight line between the ends."""
    n = len(values) - 1
    straight = (values[-1] - values[0]) / n
    return noise([value - straight * i for i, value in enumerate(values)])


def _thirds_rise(values: tuple[float, ...]) -> bool:
    """A cheap question first: does the mean of each third lie above that of the one before?"""
    third = len(values) // 3
    first, last = sum(values[:third]), sum(values[-third:])
    return first * 1.005 < last and first < sum(values[third : 2 * third]) < last


def _after_drop(state: MemoryGrowthState, value: float) -> MemoryGrowthState:
    """The state with its windows emptied where memory has just been given back: the next climb is another one."""
    window = state.allocated if state.allocated and state.allocated[-1] >= 0 else state.reserved
    if len(window) < 4 or value < 0:
        return state
    low, high = min(window), max(window)
    if high - value <= max(0.3 * (high - low), 0.01 * high) or high - value <= 6 * noise(window):
        return state
    return MemoryGrowthState(
        seen=_SETTLING + 1,
        step=state.step,
        tokens=state.tokens,
        ceiling=max(state.ceiling, high),
        # what was said is over when most of the climb has been given back
        said=state.said and value > low + 0.5 * (high - low),
    )
