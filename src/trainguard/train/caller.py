"""Which trainer calls? A callback gets no reference to it, but the stack of its first hook has one."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any


class Caller:
    """The trainer whose loop is on the stack, found when its training begins; `trainer` is None where there is none."""

    def __init__(self) -> None:
        self.trainer: Any = None
        self._loop: CodeType | None = None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            owner = frame.f_locals.get("self")
            if hasattr(owner, "callback_handler") and hasattr(owner, "train"):
                self.trainer, self._loop = owner, frame.f_code
                return
            frame = frame.f_back

    def is_training(self, frame: FrameType | None) -> bool:
        """Whether that loop is among the callers of `frame`. True where the loop is not known."""
        if self._loop is None:
            return True
        while frame is not None:
            if frame.f_code is self._loop:
                return True
            frame = frame.f_back
        return False

    def forget(self) -> None:
        """Lets the trainer go, so that its memory can be freed."""
        self.trainer = None
