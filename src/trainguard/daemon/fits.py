"""What fits into a GPU's memory, as attempts have shown it: used for the next file before its first step.

Pure: who calls keeps the numbers (`Queue.remember_fit`, `Queue.fit`) and applies the changes. Only the micro-batch is
ever smaller, and the accumulation larger by as much: the effective batch, the maximum length and the method are the
user's, and stay.
"""

from __future__ import annotations

from trainguard.findings import Finding, Fix


def fit_key(*, model: str, method: str, max_length: int | None, gpu: str) -> str:
    """Under which name a fit is remembered. `gpu` is the GPU's name, so that another one is tried anew."""
    return "|".join((model, method, str(max_length), gpu))


def fitted(batch_size: int, gradient_accumulation: int, largest: int) -> dict[str, int]:
    """The changes of configuration with which a micro-batch is no larger than `largest`; {} where none are needed.

    The effective batch stays: the micro-batch becomes its largest divisor that is not above `largest`.
    """
    if batch_size <= largest or largest < 1:
        return {}
    effective = batch_size * gradient_accumulation
    micro = next(size for size in range(largest, 0, -1) if effective % size == 0)
    return {"batch_size": micro, "gradient_accumulation": effective // micro}


def fit_finding(
    batch_size: int, gradient_accumulation: int, largest: int, *, max_length: int | None, method: str, gpu: str
) -> Finding | None:
    """JOB017 where a micro-batch of `batch_size` is known not to fit; None where nothing speaks against it."""
    changes = fitted(batch_size, gradient_accumulation, largest)
    if not changes:
        return None
    micro, accumulation = changes["batch_size"], changes["gradient_accumulation"]
    rows = "row" if micro == 1 else "rows"
    change = f"batch_size = {micro} and gradient_accumulation = {accumulation}"
    length = "" if max_length is None else f" at max_length {max_length:,}"
    message = (
        f"a micro-batch of {batch_size:,} did not fit into {gpu}'s memory before{length} with method {method}, and "
        f"one of {micro:,} {rows} did; training with {change}, which leaves the effective batch at "
        f"{batch_size * gradient_accumulation:,}; write them into the configuration to be rid of this"
    )
    return Finding(
        "warn",
        message,
        code="JOB017",
        name="predicted-oom",
        fix=Fix(f"set {change}"),
        evidence={
            "batch_size": batch_size,
            "gradient_accumulation": gradient_accumulation,
            "largest_batch_size": largest,
            "fitting_batch_size": micro,
            "fitting_gradient_accumulation": accumulation,
            "gpu": gpu,
        },
    )
