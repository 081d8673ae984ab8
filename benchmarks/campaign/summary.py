"""What is printed of a campaign."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from campaign.model import COUNTED

_MOST_UNEARNED = 0.05
# From a fault to the first new step: the training process's own start, and this on top.
_MOST_SECONDS = 5.0


def line(life: Mapping[str, Any], happened: int) -> str:
    """One life, with what broke in it."""
    faults = sum(life["happened"].values())
    kind = " with the real trainer" if life["trainer"] == "real" else ""
    words = f"life {life['seed']}{kind}: {faults} faults in {life['seconds']:.0f} s ({happened} so far)"
    for violation in life["violations"]:
        words += f"\n  BROKEN: {violation}"
    for each in life["unearned"]:
        words += f"\n  put aside: {each}"
    return words


def report(lives: Sequence[Mapping[str, Any]], again: str) -> int:
    """Prints the table; 1 where something that must hold did not. `again` are the arguments that draw it again."""
    _table("fault", lives, "happened")
    _table("asked for by people", lives, "asked")
    counts: Counter[str] = Counter()
    for life in lives:
        counts.update(life.get("counts", {}))
    broken = [life for life in lives if life["violations"]]
    files, unearned = sum(life["files"] for life in lives), sum(len(life["unearned"]) for life in lives)
    share = unearned / files if files else 0.0
    real = sum(life["trainer"] == "real" for life in lives)
    print(f"lives {len(lives)} ({real} with the real trainer), files {files}, {again}")
    print(f"saves cut at a prefix, disks read: {sum(life['prefixes'] for life in lives)}")
    print("files " + ", ".join(f"{name} {counts[name]}" for name in COUNTED))
    seeds = ", ".join(str(life["seed"]) for life in broken)
    print(f"lives in which something broke: {len(broken)}{f': --life {seeds}' if broken else ''}")
    hangs = sum(any("hangs" in each or "does not end" in each for each in life["violations"]) for life in lives)
    print(f"hangs of the daemon: {hangs}")
    print(f"files put aside though nothing was wrong with them: {unearned} ({share:.1%}, at most {_MOST_UNEARNED:.0%})")
    slow = [_times([each for each in lives if each["trainer"] == kind], kind) for kind in ("tiny", "real")]
    return int(bool(broken) or share > _MOST_UNEARNED or any(slow))


def _table(head: str, lives: Sequence[Mapping[str, Any]], key: str) -> None:
    counted: Counter[str] = Counter()
    for life in lives:
        counted.update(life[key])
    print(f"\n{head:<28}{'times':>6}")
    for name, count in counted.most_common():
        print(f"{name:<28}{count:>6}")
    print(f"{'all':<28}{counted.total():>6}\n")


def _times(lives: Sequence[Mapping[str, Any]], kind: str) -> bool:
    """Prints how long it took; whether that is too long."""
    names = {
        "restart_seconds": "from a fault to the next start of training",
        "recovery_seconds": "from a fault to the first new step",
        "start_seconds": "from the start of training to its first new step (the child's own start)",
    }
    middles = {}
    for key, words in names.items():
        seconds = sorted(each for life in lives for each in life.get(key, ()))
        if not seconds:
            continue
        middles[key] = statistics.median(seconds)
        high = seconds[math.ceil(0.95 * (len(seconds) - 1))]
        print(f"{kind}: {words}: median {middles[key]:.1f} s, 95 % below {high:.1f} s, {len(seconds)} times")
    return bool(middles.get("recovery_seconds", 0.0) > middles.get("start_seconds", 0.0) + _MOST_SECONDS)
