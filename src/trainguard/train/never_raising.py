"""A hook of a callback that must not end the run that it watches."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

from trainguard.train.actions import NotReadyError

logger = logging.getLogger("trainguard.train.callback")

Hook = TypeVar("Hook", bound=Callable[..., Any])


def never_raises(hook: Hook) -> Hook:
    """What fails inside trainguard must not end a run: it is logged, once, under the name in `_broken` of the callback.

    The hook is called again the next time, because other processes may wait in it for this one. NotReadyError is meant
    to end the run, and does.
    """

    @functools.wraps(hook)
    def guarded(self: Any, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        try:
            hook(self, args, state, control, **kwargs)
        except NotReadyError:
            raise
        except Exception:
            if hook.__name__ not in self._broken:
                logger.exception("GuardCallback.%s failed inside trainguard; the run goes on", hook.__name__)
            self._broken.add(hook.__name__)
        return control

    return cast(Hook, guarded)
