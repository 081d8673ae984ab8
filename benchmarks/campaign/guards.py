"""Guards that the campaign can do without, to see that it notices: `run.py --without GUARD`.

The environment tells which one to every process of the daemon and of the trainer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

VARIABLE = "CAMPAIGN_WITHOUT"
WITHOUT = os.environ.get(VARIABLE, "")


def _no_sync() -> None:
    """Nothing that Python writes is synced; SQLite, which is C, syncs as before."""
    os.fsync = os.fdatasync = lambda _: None  # type: ignore[assignment]


def _no_reconcile() -> None:
    """After a crash rows and files are left as they are, and interrupted intakes too."""
    from trainguard.queue import accepting
    from trainguard.queue.custody import Custody
    from trainguard.queue.reconciling import Reconciled

    setattr(Custody, "reconcile", lambda *_, **__: Reconciled())  # noqa: B010
    setattr(accepting, "_redo", lambda _: None)  # noqa: B010


def _no_verification() -> None:
    """Of the checkpoints, the one with the highest number is believed, whatever it holds."""
    from trainguard.drills.process import _tiny_trainer
    from trainguard.train import resuming

    class Believed:
        verified = True

    setattr(_tiny_trainer, "verify", lambda *_, **__: Believed())  # noqa: B010
    setattr(resuming, "broken_and_newer", lambda _: [])  # noqa: B010


def _no_lock() -> None:
    """Two daemons may serve one folder."""
    from trainguard.daemon.lock import DaemonLock

    for name in ("take", "release"):
        setattr(DaemonLock, name, lambda _: None)


def _no_hang_watch() -> None:
    """A run that gives no sign of life is waited for."""
    from trainguard.daemon.hang import HangWatch

    setattr(HangWatch, "look", lambda *_, **__: None)  # noqa: B010


GUARDS: Mapping[str, Callable[[], None]] = {
    "sync": _no_sync,
    "reconcile": _no_reconcile,
    "verification": _no_verification,
    "lock": _no_lock,
    "hang-watch": _no_hang_watch,
}


def switch_off() -> None:
    """In each process of the product."""
    if WITHOUT:
        GUARDS[WITHOUT]()
