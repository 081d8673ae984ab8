"""The training process of a life: `python trainer.py tiny|real …`, the rest as `trainguard train` takes it.

"tiny" is the stand-in without torch (`trainguard.drills.process._tiny_trainer`), "real" is `trainguard train` itself,
with the faults made in its process. Each start notes which checkpoint it goes on from, and whether that is whole.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_PLAN = Path(os.environ["TINY_TRAINER"])
_DONE = Path(f"{_PLAN}.done")


def main() -> int:
    from campaign.guards import switch_off

    kind, sys.argv[1:] = sys.argv[1], sys.argv[2:]
    if kind == "tiny":
        from trainguard.drills.process import _tiny_trainer
        from trainguard.facts.checkpoint.verify import verify

        _watch_resumes(_tiny_trainer.Trainer, verify)
        switch_off()
        return _tiny_trainer.main()
    switch_off()
    _make_faults()
    sys.argv = ["trainguard", "train", *sys.argv[1:]]
    runpy.run_module("trainguard", run_name="__main__", alter_sys=True)
    return 0


def _watch_resumes(kind: Any, verify: Callable[..., Any]) -> None:
    latest = kind._latest

    @functools.wraps(latest)
    def watched(self: Any) -> Path | None:
        found: Path | None = latest(self)
        if found is not None:
            whole = verify(found, self.output, deep=True).verified
            with Path(os.environ["CAMPAIGN_RESUMED"]).open("a") as file:
                file.write(json.dumps({"file": self.file_id, "checkpoint": found.name, "whole": whole}) + "\n")
        return found

    kind._latest = watched


# Faults of the real trainer, before the `step`-th micro-batch of a process.


def _make_faults() -> None:
    words = " ".join(sys.argv)
    faults = list(enumerate(json.loads(_PLAN.read_bytes())["faults"]))
    full = [(number, fault) for number, fault in faults if fault["what"] == "full" or "fits" in fault]
    for number, fault in full:
        if fault["file"] in words:
            _full(number, fault["fits"] + 1)
            break
    due = {
        fault["step"]: (number, fault["what"])
        for number, fault in faults
        if "fits" not in fault and number not in _done()
    }
    if due:
        _before_steps(due)


def _full(number: int, rows: int) -> None:
    from trainguard.drills.training._faults import install

    install({"what": "full-while-training", "at": 2, "rows": rows})
    if number not in _done():
        _note(number)


def _done() -> set[int]:
    try:
        return {int(each) for each in _DONE.read_text().split()}
    except OSError:
        return set()


def _note(number: int) -> None:
    with _DONE.open("a") as file:
        file.write(f"{number}\n")


def _before_steps(due: dict[int, tuple[int, str]]) -> None:
    from trl.trainer.sft_trainer import SFTTrainer

    from trainguard.facts.checkpoint.reading import checkpoint_folders

    compute_loss: Callable[..., Any] = SFTTrainer.compute_loss
    micro_batches = 0
    earlier: list[Path] = []

    @functools.wraps(compute_loss)
    def spoilt(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal micro_batches, earlier
        if micro_batches == 0:
            earlier = checkpoint_folders(Path(self.args.output_dir))
        micro_batches += 1
        number, what = due.get(micro_batches, (-1, ""))
        if number >= 0:
            _note(number)
            _happen(what, Path(self.args.output_dir), earlier)
        loss = compute_loss(self, *args, **kwargs)
        if what != "nan":
            return loss
        return (loss[0] * float("nan"), *loss[1:]) if isinstance(loss, tuple) else loss * float("nan")

    setattr(SFTTrainer, "compute_loss", spoilt)  # noqa: B010


def _happen(what: str, output: Path, earlier: Sequence[Path]) -> None:
    """`earlier` are the checkpoints that this process began with."""
    match what:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "hang":
            time.sleep(100_000)
        case "hang-gil":
            import ctypes

            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            # A mutex that one thread locks twice, with the GIL held (PyDLL; pthread_mutex_lock(3p)).
            mutex, lock = ctypes.create_string_buffer(128), ctypes.PyDLL(None).pthread_mutex_lock
            lock(mutex)
            lock(mutex)
        case "raise":
            raise ValueError("the campaign raises")
        case "corrupt":
            from trainguard.facts.checkpoint.reading import checkpoint_folders

            # Of what this process has saved. The end of a file that is done is another matter: a person is asked.
            for folder in checkpoint_folders(output)[-1:]:
                if folder in earlier:
                    break
                os.truncate(folder / "model.safetensors", 7)
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
