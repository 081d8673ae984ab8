"""What must hold after a campaign's world has come to rest, whatever has happened in it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_BATCH = 2


@dataclass(slots=True)
class Verdict:
    """`violations` are sentences; `unearned` are files that ended badly though nothing was wrong with them; `seconds`
    are the times from a fault to the next start of training."""

    violations: list[str] = field(default_factory=list)
    unearned: list[str] = field(default_factory=list)
    files: int = 0
    seconds: list[float] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        return {"files": self.files, "unearned": self.unearned, "recovery_seconds": self.seconds}


def judge(dropped: Sequence[Mapping[str, Any]], seen: Mapping[str, Any], *, struck: Sequence[float] = ()) -> Verdict:
    """Compares what was dropped with what stands. `struck` are the moments (unix seconds) at which all was killed."""
    verdict = Verdict()
    files = seen["files"]
    _files(verdict, dropped, seen)
    _lineage(verdict, dropped, seen)
    for file in files:
        if file["state"] in ("training", "checking", "verifying", "accepted", "waiting"):
            verdict.violations.append(f"file {file['id']} {file['name']} is {file['state']} for ever: {file['cause']}")
    verdict.seconds = _recoveries(seen["events"], struck)
    return verdict


def _files(verdict: Verdict, dropped: Sequence[Mapping[str, Any]], seen: Mapping[str, Any]) -> None:
    """Each file that was dropped came to its own end, and its bytes are still there."""
    by_content: dict[str, list[Mapping[str, Any]]] = {}
    for drop in dropped:
        by_content.setdefault(drop["sha256"], []).append(drop)
    for content, drops in by_content.items():
        rows = [each for each in seen["files"] if each["sha256"] == content]
        certain = [drop for drop in drops if not drop["vanishes"]]
        names = " and ".join(drop["name"] for drop in drops)
        if certain and content not in seen["kept"]:
            verdict.violations.append(f"{names}: the content is lost")
        if not len(certain) <= len(rows) <= len(drops):
            words = f"in the queue {len(rows)} times, dropped {len(certain)} to {len(drops)}"
            verdict.violations.append(f"{names}: {words}")
        if not certain or not rows:
            continue
        verdict.files += 1
        states = [each["state"] for each in rows]
        if any(drop["fate"] == "failed" for drop in drops):
            if set(states) - {"failed", "held"}:
                verdict.violations.append(f"{names} is malformed, and is {states}")
        elif states.count("done") > 1:
            verdict.violations.append(f"{names}: trained {states.count('done')} times")
        elif "done" not in states:
            causes = "; ".join(str(each["cause"]) for each in rows)
            verdict.unearned.append(f"{names}: {states[0]}: {causes}")


def _lineage(verdict: Verdict, dropped: Sequence[Mapping[str, Any]], seen: Mapping[str, Any]) -> None:
    """What is done is in the weights, each row once but for what was skipped on purpose; what is not done is not."""
    done = {f"{each['id']}-{each['sha256'][:16]}": each for each in seen["files"] if each["state"] == "done"}
    rows = {drop["sha256"]: drop["rows"] for drop in dropped}
    order: list[str] = []
    trained: dict[str, list[int]] = {}
    for file, _, row in seen["seen"]:
        if not order or order[-1] != file:
            order.append(file)
        trained.setdefault(file, []).append(row)
    if len(order) != len(set(order)):
        verdict.violations.append(f"files were mixed or trained twice: {order}")
    if set(order) - set(done):
        verdict.violations.append(f"in the weights, but not done: {sorted(set(order) - set(done))}")
    for name, file in done.items():
        expected = _expected(rows.get(file["sha256"], 0), _windows(file))
        if trained.get(name, []) != expected:
            verdict.violations.append(f"file {name}: rows {trained.get(name)} are in the weights, expected {expected}")
    if seen["newest"] < max((each["step"] or 0 for each in done.values()), default=0):
        verdict.violations.append(f"the newest verified checkpoint is {seen['newest']}, and files are done beyond it")
    history = [each.get("file_id") for each in seen["history"]]
    if len(history) != len(set(history)):
        verdict.violations.append(f"the history of the lineage names a file twice: {history}")


def _windows(file: Mapping[str, Any]) -> list[tuple[int, int]]:
    recovery = (file.get("memory") or {}).get("recovery") or {}
    return [(first, last) for first, last in recovery.get("skipped", ())]


def _expected(rows: int, windows: Sequence[tuple[int, int]]) -> list[int]:
    steps = [list(range(first, min(first + _BATCH, rows))) for first in range(0, rows, _BATCH)]
    for first, last in windows:
        del steps[first - 1 : last]
    return [row for step in steps for row in step]


def _recoveries(events: Sequence[Mapping[str, Any]], struck: Sequence[float]) -> list[float]:
    """From a fault to the next start of an attempt at the same file, seconds; pauses for the disk are not counted."""
    found = []
    ended: dict[int, float] = {}
    for event in events:
        file = event.get("file_id") or 0
        if event["kind"] == "attempt-end" and (event["data"].get("decision") or {}).get("act") in ("retry", "rollback"):
            ended[file] = event["time"]
        elif event["kind"] == "attempt-start":
            begun = event["time"]
            if file in ended:
                found.append(begun - ended.pop(file))
    for moment in struck:
        after = [event["time"] for event in events if event["kind"] == "attempt-start" and event["time"] > moment]
        before = [event for event in events if event["kind"] == "attempt-start" and event["time"] < moment]
        if after and before and min(after) - moment < 60:
            found.append(min(after) - moment)
    return [each for each in found if 0 <= each < 3600]
