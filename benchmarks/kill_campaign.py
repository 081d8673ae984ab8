"""Kills a run with SIGKILL at random instants, again and again, and looks at what it takes up.

    python benchmarks/kill_campaign.py [--kills 200] [--arm guarded --arm stock ...] [--seed 0]

Each arm is the same run of `campaign_run.py`: guarded (VerifiedSaves), callback (GuardCallback on the stock Trainer),
or stock. It is killed and resumed until it is done, then the next run begins, until the kills are used up. Half of the
kills fall anywhere, half into a save. After every kill it is asserted that a verified checkpoint is there once there
was one, and after every resume that it began at one; at the end of each run its weights are compared with those of an
undisturbed one, bit for bit. Nothing of the stock Trainer is asserted: it is counted.

This process imports everything once and forks for each attempt, so that an attempt costs its training and no imports.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import re
import shutil
import signal
import statistics
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.campaign_run import Arm, Plan, train, warm_up

# Slots of 8 bytes that the run writes and the campaign reads: steps done, saves begun and ended, the step resumed from
# (-1 before the run has begun), whether that checkpoint verified with all its bytes.
STEP, BEGUN, ENDED, FROM, VERIFIED = range(5)
_POLL_SECONDS = 0.0002
_ATTEMPT_SECONDS = 300.0
_MAX_ATTEMPTS_PER_RUN = 400


@dataclass(slots=True)
class Tally:
    """What happened to one arm. `lost` are the steps done again after each kill; `wrong` breaks what was promised."""

    kills: int = 0
    in_save: int = 0
    runs: int = 0
    equal: int = 0
    resumed_verified: int = 0
    resumed_unverified: int = 0
    fresh: int = 0
    stuck: int = 0
    lost: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        return {
            "kills": self.kills,
            "in_save": self.in_save,
            "runs": self.runs,
            "runs_equal_bit_for_bit": self.equal,
            "resumed_from_verified": self.resumed_verified,
            "resumed_from_unverified": self.resumed_unverified,
            "began_anew": self.fresh,
            "stuck_until_a_person_helped": self.stuck,
            "lost_steps_median": statistics.median(self.lost) if self.lost else 0,
            "lost_steps_most": max(self.lost, default=0),
            "wrong": dict(Counter(self.wrong)),
            "seconds": round(self.seconds, 1),
        }


class Board:
    """The slots, shared with a forked run."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def __getitem__(self, slot: int) -> int:
        value: int = struct.unpack_from("q", self._memory, slot * 8)[0]
        return value

    def __setitem__(self, slot: int, value: int) -> None:
        struct.pack_into("q", self._memory, slot * 8, value)

    def clear(self) -> None:
        for slot in range(5):
            self[slot] = 0
        self[FROM] = -1


def attempt(plan: Plan, folder: Path, board: Board, *, resume: bool | None) -> int:
    """Forks a run; its process id. It writes the hash of its weights to `done`, or its exception to `failed`."""
    board.clear()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        log = os.open(folder.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)

        def on_save(begins: bool) -> None:
            board[BEGUN if begins else ENDED] += 1

        def on_begin(step: int) -> None:
            from trainguard.facts.checkpoint.verify import verify

            board[VERIFIED] = int(step > 0 and verify(folder / f"checkpoint-{step}", folder, deep=True).verified)
            board[FROM] = step

        digest = train(
            plan,
            folder,
            resume=resume,
            on_begin=on_begin,
            on_step=lambda step: board.__setitem__(STEP, step),
            on_save=on_save,
        )
        (folder.parent / "done").write_text(digest)
        code = 0
    except BaseException as error:
        (folder.parent / "failed").write_text(f"{type(error).__name__}: {error}"[:1000])
    finally:
        os._exit(code)


def ended(child: int) -> int | None:
    """The exit status of a run that has ended by itself."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def wait_until(child: int, reached: Callable[[], bool], seconds: float) -> int | None:
    """Watches a run until `reached` or for `seconds`; its exit status where it ended before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not reached():
        if (status := ended(child)) is not None:
            return status
        time.sleep(_POLL_SECONDS)
    return None


def kill_at_random(child: int, board: Board, dice: random.Random, lasts: float, save_lasts: float) -> int | None:
    """Kills a run at a random instant; None where that was done, else how it ended before."""
    if dice.random() < 0.5:
        which = board[BEGUN] + dice.randint(1, 3)
        status = wait_until(child, lambda: board[BEGUN] >= which, _ATTEMPT_SECONDS)
        seconds = dice.uniform(0, 2.5 * save_lasts)  # the manifest comes after the save
    else:
        status, seconds = None, dice.uniform(0, lasts)
    if status is None:
        status = wait_until(child, lambda: False, seconds)
    if status is not None:
        return status
    os.kill(child, signal.SIGKILL)
    how = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # it may have ended by itself just before
    return None if how == -signal.SIGKILL else how


def undisturbed(plan: Plan, scratch: Path, board: Board) -> tuple[str, float, float]:
    """The hash of the weights that the run ends with, seconds for it, seconds of one save."""
    home = scratch / "undisturbed"
    (home / "out").mkdir(parents=True)
    child = attempt(plan, home / "out", board, resume=False)
    begin, saving, inside = time.monotonic(), 0.0, 0.0
    while (status := ended(child)) is None:
        now = time.monotonic()
        if board[BEGUN] > board[ENDED]:
            inside = inside or now
        elif inside:
            saving, inside = saving + now - inside, 0.0
        time.sleep(_POLL_SECONDS)
    if status != 0:
        raise RuntimeError(f"the undisturbed run failed: {(home / 'failed').read_text()}")
    lasts = time.monotonic() - begin
    digest = (home / "done").read_text()
    saves = max(board[ENDED], 1)
    shutil.rmtree(home)
    return digest, lasts, saving / saves


def campaign(plan: Plan, kills: int, seed: int, scratch: Path, *, tell: Callable[[str], None] = print) -> Tally:
    """Runs of one arm until it has been killed `kills` times and its last run is done."""
    board, dice, tally = Board(), random.Random(seed), Tally()
    begin = time.monotonic()
    expected, lasts, save_lasts = undisturbed(plan, scratch, board)
    tell(f"{plan.arm}: undisturbed {lasts:.2f} s, a save {save_lasts * 1000:.0f} ms, weights {expected[:12]}")
    while tally.kills < kills:
        home = scratch / f"run-{tally.runs}"
        (home / "out").mkdir(parents=True)
        _one_run(plan, home, board, dice, tally, kills, lasts, save_lasts)
        tally.runs += 1
        same = (home / "done").is_file() and (home / "done").read_text() == expected
        tally.equal += same
        if not same:
            tally.wrong.append("other weights at the end")
        shutil.rmtree(home)
        tell(f"{plan.arm}: {tally.kills} kills, {tally.runs} runs, {tally.equal} of them equal bit for bit")
    tally.seconds = time.monotonic() - begin
    return tally


def _one_run(
    plan: Plan,
    home: Path,
    board: Board,
    dice: random.Random,
    tally: Tally,
    kills: int,
    lasts: float,
    save_lasts: float,
) -> None:
    from trainguard.facts.checkpoint.latest import latest_verified_checkpoint

    folder = home / "out"
    reached = newest = 0
    for _ in range(_MAX_ATTEMPTS_PER_RUN):
        resume = _has_something(plan, folder)
        child = attempt(plan, folder, board, resume=resume)
        if tally.kills < kills:
            status = kill_at_random(child, board, dice, lasts * 0.7, save_lasts)
        else:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _judge_resume(plan, board, tally, reached)
        if status == 0:
            return
        if status is None:
            tally.kills += 1
            tally.in_save += board[BEGUN] > board[ENDED]
            reached = max(board[STEP], reached if board[FROM] < 0 else 0)
        else:
            _help(plan, home, tally)
            continue
        found = latest_verified_checkpoint(folder)
        now = int(found.name.rpartition("-")[2]) if found is not None else 0
        if now < newest:
            tally.wrong.append("the newest verified checkpoint was lost")
        newest = now
    tally.wrong.append("never done")


def _judge_resume(plan: Plan, board: Board, tally: Tally, reached: int) -> None:
    """What the run that was just ended had begun with, where it came that far."""
    start = board[FROM]
    if start < 0:
        return
    if start == 0:
        tally.fresh += 1
    elif board[VERIFIED]:
        tally.resumed_verified += 1
    else:
        tally.resumed_unverified += 1
        tally.wrong.append("resumed from one that does not verify")
    if reached:
        tally.lost.append(reached - start)
        if reached - start > plan.save_steps:
            tally.wrong.append("more lost than one save interval")


def _has_something(plan: Plan, folder: Path) -> bool | None:
    """Whether there is something to resume from; None leaves it to the run, as a script with the stock Trainer does."""
    if plan.arm != "guarded":
        return None
    from trainguard.facts.checkpoint.latest import latest_verified_checkpoint
    from trainguard.train.staging import left_behind

    return latest_verified_checkpoint(folder) is not None or any(each.resumable() for each in left_behind(folder))


def _help(plan: Plan, home: Path, tally: Tally) -> None:
    """The run cannot go on by itself: a person deletes the checkpoint that it fails on."""
    tally.stuck += 1
    said = (home / "failed").read_text() if (home / "failed").is_file() else "it crashed"
    tally.wrong.append("failed: " + re.sub(r"\d+", "N", said.replace(str(home), "."))[:120])
    from transformers.trainer_utils import get_last_checkpoint

    if plan.arm == "stock" and (newest := get_last_checkpoint(str(home / "out"))) is not None:
        shutil.rmtree(newest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--arm", action="append", choices=["guarded", "callback", "stock"])
    parser.add_argument("--steps", type=int, default=Plan().steps, help="steps of a run; it saves every 4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--foreground", action="store_true", help="sync and hash before training goes on")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    warm_up()
    rows: dict[str, Any] = {}
    arms: list[Arm] = options.arm or ["guarded", "callback", "stock"]
    for arm in arms:
        plan = Plan(arm=arm, steps=options.steps, background=not options.foreground)
        with tempfile.TemporaryDirectory(prefix="trainguard-kills-") as scratch:
            rows[arm] = campaign(plan, options.kills, options.seed, Path(scratch)).row()
    width = max(len(name) for row in rows.values() for name in row)
    for name in next(iter(rows.values())):
        print(f"{name:{width}}  " + "  ".join(f"{rows[arm][name]!s:>14}" for arm in arms if name != "wrong"))
    for arm in arms:
        print(f"wrong, {arm}: {rows[arm]['wrong'] or 'nothing'}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(any(rows[arm]["wrong"] for arm in arms if arm != "stock"))


if __name__ == "__main__":
    main()
