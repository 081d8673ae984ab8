"""Out of GPU memory."""

from __future__ import annotations

from trainguard.recovery.case import Case, hold
from trainguard.recovery.policies.base import Policy
from trainguard.recovery.records import Decision

_ADVICE = (
    'set gradient_checkpointing = true, take method = "lora" or "qlora", or a larger GPU; neither max_length nor the '
    "method is changed by itself, since that would train something else"
)
# Memory of other processes beyond this is worth waiting for: less is the CUDA context of a process that ends.
_OTHERS_BYTES = 1 << 30
_OTHERS_SHARE = 0.1
_WAIT_SECONDS = 1_800.0


class GpuOom(Policy):
    """*What it does*

    While training: a new process, from the last verified checkpoint, with the micro-batch halved and the gradient
    accumulation raised so that the effective batch stays exactly the same. An odd micro-batch goes down to the largest
    size below its half that divides the effective batch. At a micro-batch of 1 the file is quarantined with advice.
    While evaluating: `eval.batch_size` is halved. While the model is loaded: once more when the GPU is free, then held.
    While saving: once more as it is, then as while training. Where other processes hold the memory: waits for it, once.

    *Why*

    The effective batch, the samples and their order decide what is learnt, so that only how they are split may change.
    Memory that another process held, or a fragmented heap, is gone in a new process; too large a model is not.
    """

    name = "gpu-oom"
    kinds = ("gpu-oom",)

    def decide(self, case: Case) -> Decision:
        others = _held_by_others(case)
        if others and not case.earlier(lambda each: each.kind == "gpu-oom" and bool(_others(each.data))):
            return Decision(
                act="pause",
                why=f"out of GPU memory, of which other processes hold {others / 2**30:.1f} GiB: waits for it",
                policy=self.name,
                wait_for="gpu",
                deadline_seconds=_WAIT_SECONDS,
            )
        phase = case.failure.phase
        if phase == "evaluate":
            return self._evaluate(case)
        if phase in ("load", "tokenize") or (phase in ("unknown", "idle") and case.failure.step is None):
            return self._load(case)
        if phase == "save" and not case.earlier(lambda each: each.kind == "gpu-oom" and each.phase == "save"):
            return self._again(case, "out of GPU memory while saving: once more in a new process")
        return self._train(case)

    def _again(self, case: Case, why: str) -> Decision:
        return Decision(act="retry", why=f"{why}, {case.from_where}", policy=self.name)

    def _load(self, case: Case) -> Decision:
        if not case.earlier(lambda each: each.kind == "gpu-oom"):
            return Decision(
                act="pause",
                why="out of GPU memory while loading: once more when the GPU's memory is back",
                policy=self.name,
                wait_for="gpu",
                deadline_seconds=_WAIT_SECONDS,
            )
        advice = (
            'the model does not fit: precision = "bf16", method = "qlora", or a larger GPU; then '
            "`trainguard queue release`"
        )
        return hold(self.name, "out of GPU memory while loading, twice, the second time with the GPU free", advice)

    def _evaluate(self, case: Case) -> Decision:
        size = case.size("eval.batch_size", case.limits.eval_batch_size or case.limits.batch_size)
        if not case.limits.can_change_batch:
            return self._unchangeable(case)
        if size <= 1:
            why = "out of GPU memory while evaluating at eval.batch_size 1"
            advice = 'evaluate shorter examples, set eval.strategy = "no", or take a larger GPU'
            return Decision(act="quarantine", why=why, policy=self.name, advice=advice)
        return Decision(
            act="retry",
            why=f"out of GPU memory while evaluating: eval.batch_size {size} → {size // 2}, {case.from_where}",
            policy=self.name,
            changes={"eval.batch_size": size // 2},
            counts=False,
        )

    def _train(self, case: Case) -> Decision:
        if not case.limits.can_change_batch:
            return self._unchangeable(case)
        size, accumulation = case.batch_size, case.accumulation
        smaller = smaller_batch(size, accumulation)
        if smaller is None:
            why = f"out of GPU memory at micro-batch 1 (gradient accumulation {accumulation})"
            return Decision(act="quarantine", why=why, policy=self.name, advice=_ADVICE)
        new, steps = smaller
        return Decision(
            act="retry",
            why=f"out of GPU memory: micro-batch {size} → {new}, gradient accumulation {accumulation} → {steps} "
            f"(effective batch {size * accumulation}, as before), {case.from_where}",
            policy=self.name,
            changes={"batch_size": new, "gradient_accumulation": steps},
            counts=False,
        )

    def _unchangeable(self, case: Case) -> Decision:
        if not case.earlier(lambda each: each.kind == "gpu-oom"):
            return self._again(
                case, "out of GPU memory, and the batch of this script cannot be changed from outside: once"
            )
        advice = "halve the script's per_device_train_batch_size and double its gradient_accumulation_steps"
        return hold(self.name, "out of GPU memory twice without a new verified checkpoint", advice)


def smaller_batch(batch_size: int, accumulation: int) -> tuple[int, int] | None:
    """Micro-batch and accumulation of the same effective batch, the micro-batch halved or less; None at 1.

    Raises ArithmeticError should the effective batch differ, which no input makes it do.
    """
    if batch_size <= 1:
        return None
    effective = batch_size * accumulation
    new = next(size for size in range(batch_size // 2, 0, -1) if effective % size == 0)
    if new * (effective // new) != effective:
        raise ArithmeticError(f"{new} times {effective // new} is not {effective}")
    return new, effective // new


def _others(data: dict[str, object]) -> int:
    """Bytes of the GPU that other processes hold, as torch's message has it; 0 where it is little or not known."""
    total, free, own = data.get("total_bytes"), data.get("free_bytes"), data.get("own_bytes")
    if own is None:
        return 0
    if not (isinstance(total, int) and isinstance(free, int) and isinstance(own, int)):
        return 0
    held = total - free - own
    return held if held > _OTHERS_BYTES and held > total * _OTHERS_SHARE else 0


def _held_by_others(case: Case) -> int:
    return _others(case.failure.data)
