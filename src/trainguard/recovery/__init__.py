"""What failed, and what to do about it. Pure: values in, values out."""

from __future__ import annotations

from trainguard.recovery.classify import classify
from trainguard.recovery.decide import decide

__all__ = ["classify", "decide"]
