"""The loss of a model that has learnt nothing: for each method and loss a known number.

From the definitions in trl 1.16 (trainer/dpo_trainer.py, kto_trainer.py, reward_trainer.py, `compute_loss`), with the
policy equal to the reference, so that every log-ratio is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainguard.signals.samples import Run

LN2 = math.log(2)
# With log-ratios of 0 whatever `beta`: -logsigmoid(0) = ln 2, 1 - sigmoid(0) = 1/2, relu(1 - 0) = 1.
_FIXED = {
    "sigmoid": LN2,
    "robust": LN2,  # ((1 - e) ln 2 - e ln 2) / (1 - 2 e)
    "aot": LN2,
    "aot_unpaired": LN2,
    "sigmoid_norm": LN2,
    "hinge": 1.0,
    "nca_pair": 2 * LN2,
    "bco_pair": 2 * LN2,
    "apo_zero": 1.0,
    "apo_down": 1.0,
    "discopop": (LN2 + 1) / 2,  # the modulation is sigmoid(0): half logistic, half exponential
}
# trl 1.16, trainer/dpo_config.py and kto_config.py.
_DEFAULT_BETA = 0.1


def untrained_losses(run: Run) -> tuple[tuple[float, str], ...]:
    """The losses at which a run of this kind stands still, each with its name. Empty where none is known."""
    if run.method in ("sft", "pretrain"):
        return _of_classes(run)
    if run.method == "reward":
        return ((LN2, f"ln 2 = {LN2:.4g}, both answers of every pair scored alike"), *_of_classes(run, ("num_labels",)))
    if run.method == "kto":
        weights = [run.number("desirable_weight"), run.number("undesirable_weight")]
        if any(weight is not None and weight != 1 for weight in weights):
            return ()
        return ((0.5, "0.5, every output as likely as under the reference"),)
    if run.method == "dpo":
        value = _of_pairs(run)
        return ((value, f"{value:.4g}, policy and reference alike"),) if value is not None else ()
    return ()


_CLASSES = {
    "num_labels": "classes",
    "num_target_tokens": "possible target tokens",
    "vocab_size": "tokens of the vocabulary",
}


def _of_classes(run: Run, keys: Sequence[str] = tuple(_CLASSES)) -> tuple[tuple[float, str], ...]:
    found = []
    for key in keys:
        what, count = _CLASSES[key], run.count(key)
        if count is not None and count >= 2:
            value = math.log(count)
            found.append((value, f"ln {count} = {value:.4g}, all {what} equally likely"))
    return tuple(found)


def _of_pairs(run: Run) -> float | None:
    """None for a loss that has no such number (`sft`), that needs more than is known, and for a sum of losses."""
    kind = run.declared.get("loss_type")
    if isinstance(kind, Sequence) and not isinstance(kind, str):
        if len(kind) != 1:
            return None
        kind = kind[0]
    name = "sigmoid" if kind is None else str(getattr(kind, "value", kind))
    beta = run.number("beta") or _DEFAULT_BETA
    if name == "ipo" and beta > 0:
        return 1 / (2 * beta) ** 2
    if name == "sppo_hard" and beta > 0:
        return 2 * (0.5 / beta) ** 2
    return _FIXED.get(name)
