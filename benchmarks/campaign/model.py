"""What must hold after a life has come to rest, whatever has happened in it: the reference model. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from campaign.catalogue import BATCH, BECAUSE, Trainer

# Two moments that lie further apart than this are not of one clock: it was moved between.
_MOST_SECONDS = 3600.0
# The figures: files lost, trained twice or not as they should be, checkpoints lost, files that wait for ever.
COUNTED = ("lost", "trained twice", "trained wrongly", "checkpoints lost", "waiting for ever")


@dataclass(slots=True)
class Verdict:
    """`violations` are sentences; `unearned` are files that ended badly though nothing was wrong with them.

    Seconds: `restarts` from a fault to the next start of training, `recoveries` from a fault to the first new step,
    `starts` from the start of an attempt to its first new step.
    """

    violations: list[str] = field(default_factory=list)
    unearned: list[str] = field(default_factory=list)
    files: int = 0
    restarts: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))

    def broken(self, kind: str, words: str) -> None:
        """Something that must hold does not, of a kind that the figures count."""
        self.counts[kind] += 1
        self.violations.append(words)

    def plain(self) -> dict[str, Any]:
        return {
            "files": self.files,
            "unearned": self.unearned,
            "restart_seconds": self.restarts,
            "recovery_seconds": self.recoveries,
            "start_seconds": self.starts,
            "counts": self.counts,
        }


def judge(
    dropped: Sequence[Mapping[str, Any]],
    seen: Mapping[str, Any],
    *,
    trainer: Trainer = "tiny",
    struck: Sequence[float] = (),
) -> Verdict:
    """Compares what was dropped with what stands. `struck` are the moments (unix seconds) at which all was killed."""
    verdict = Verdict()
    _files(verdict, dropped, seen)
    if trainer == "tiny":
        _rows(verdict, dropped, seen)
    else:
        _steps(verdict, dropped, seen)
    done = [each for each in seen["files"] if each["state"] == "done"]
    if seen["newest"] < max((each["step"] or 0 for each in done), default=0):
        words = f"the newest verified checkpoint is {seen['newest']}, and files are done beyond it"
        verdict.broken("checkpoints lost", words)
    history = [each.get("file_id") for each in seen["history"]]
    if len(history) != len(set(history)):
        verdict.broken("trained twice", f"the history of the lineage names a file twice: {history}")
    for each in seen.get("resumed", ()):
        if not each["whole"]:
            words = f"file {each['file']} went on from {each['checkpoint']}, which is not whole"
            verdict.broken("trained wrongly", words)
    for file in seen["files"]:
        if file["state"] in ("training", "checking", "verifying", "accepted", "waiting"):
            words = f"file {file['id']} {file['name']} is {file['state']} for ever: {file['cause']}"
            verdict.broken("waiting for ever", words)
    _times(verdict, seen["events"], struck)
    return verdict


def _files(verdict: Verdict, dropped: Sequence[Mapping[str, Any]], seen: Mapping[str, Any]) -> None:
    """Each file that was dropped came to its own end, and its bytes are still there."""
    by_content: dict[str, list[Mapping[str, Any]]] = {}
    for drop in dropped:
        by_content.setdefault(drop["sha256"], []).append(drop)
    for content, drops in by_content.items():
        rows = [each for each in seen["files"] if each["sha256"] == content]
        certain = [drop for drop in drops if not drop["vanishes"]]
        names = " and ".join(repr(drop["name"]) for drop in drops)
        if certain and content not in seen["kept"]:
            verdict.broken("lost", f"{names}: the content is lost")
        if not len(certain) <= len(rows) <= len(drops):
            words = f"{names}: in the queue {len(rows)} times, dropped {len(certain)} to {len(drops)}"
            verdict.broken("lost" if len(rows) < len(certain) else "trained twice", words)
        if not certain or not rows:
            continue
        verdict.files += 1
        states = [each["state"] for each in rows]
        if any(drop["fate"] == "failed" for drop in drops):
            if set(states) - {"failed", "held"}:
                verdict.broken("trained wrongly", f"{names} is malformed, and is {states}")
        elif states.count("done") > 1 and not _released(rows):
            verdict.broken("trained twice", f"{names}: trained {states.count('done')} times")
        elif "done" not in states and not any(BECAUSE in str(each["cause"]) for each in rows):
            causes = "; ".join(str(each["cause"]) for each in rows)
            verdict.unearned.append(f"{names}: {states[0]}: {causes}")


def _released(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a person let one go on that was held as a copy: that is what a release is for."""
    return any("released" in (each.get("memory") or {}) for each in rows)


def _rows(verdict: Verdict, dropped: Sequence[Mapping[str, Any]], seen: Mapping[str, Any]) -> None:
    """What is done is in the weights, each row once but for what was skipped on purpose; what is not done is not."""
    done = {_identity(each): each for each in seen["files"] if each["state"] == "done"}
    rows = {drop["sha256"]: drop["rows"] for drop in dropped}
    order: list[str] = []
    trained: dict[str, list[int]] = {}
    for file, _, row in seen["seen"]:
        if not order or order[-1] != file:
            order.append(file)
        trained.setdefault(file, []).append(row)
    if len(order) != len(set(order)):
        verdict.broken("trained twice", f"files were mixed or trained twice: {order}")
    if set(order) - set(done):
        verdict.broken("trained wrongly", f"in the weights, but not done: {sorted(set(order) - set(done))}")
    for name, file in done.items():
        expected = _expected(rows.get(file["sha256"], 0), _windows(file))
        if trained.get(name, []) != expected:
            words = f"file {name}: rows {trained.get(name)} are in the weights, expected {expected}"
            verdict.broken("trained wrongly", words)


def _steps(verdict: Verdict, dropped: Sequence[Mapping[str, Any]], seen: Mapping[str, Any]) -> None:
    """As `_rows`, for the real trainer, which does not say which rows it saw: each done file stands once in the
    lineage, with all of its steps but for those that were skipped, and nothing else does."""
    rows = {drop["sha256"]: drop["rows"] for drop in dropped}
    done = {_identity(each): each for each in seen["files"] if each["state"] == "done"}
    expected = {name: len(list(_steps_of(rows.get(each["sha256"], 0), _windows(each)))) for name, each in done.items()}
    trained = {str(each["file_id"]): int(each["steps"]) for each in seen["history"]}
    final = seen.get("final")
    if final is not None:
        trained[str(final["run"]["file_id"])] = final["step"] - final["run"]["step_before"]
    if trained != expected:
        verdict.broken("trained wrongly", f"the lineage has the steps {trained}, expected {expected}")
    if final is not None and final["step"] != sum(expected.values()):
        words = f"the result has made {final['step']} steps, expected {sum(expected.values())}"
        verdict.broken("trained wrongly", words)


def _identity(file: Mapping[str, Any]) -> str:
    return f"{file['id']}-{file['sha256'][:16]}"


def _windows(file: Mapping[str, Any]) -> list[tuple[int, int]]:
    recovery = (file.get("memory") or {}).get("recovery") or {}
    return [(first, last) for first, last in recovery.get("skipped", ())]


def _steps_of(rows: int, windows: Sequence[tuple[int, int]]) -> list[list[int]]:
    steps = [list(range(first, min(first + BATCH, rows))) for first in range(0, rows, BATCH)]
    for first, last in windows:
        del steps[first - 1 : last]
    return steps


def _expected(rows: int, windows: Sequence[tuple[int, int]]) -> list[int]:
    return [row for step in _steps_of(rows, windows) for row in step]


def _times(verdict: Verdict, events: Sequence[Mapping[str, Any]], struck: Sequence[float]) -> None:
    """What came how long after a fault. Pauses for the disk are not counted in `restarts`."""
    ended: dict[int, float] = {}
    begun: dict[int, float] = {}
    starts = [event["time"] for event in events if event["kind"] == "attempt-start"]
    for event in events:
        file, kind, at = event.get("file_id") or 0, event["kind"], event["time"]
        if kind == "attempt-end" and (event["data"].get("decision") or {}).get("act") in ("retry", "rollback"):
            ended[file] = at
        elif kind == "attempt-start":
            begun[file] = at
            if file in ended:
                verdict.restarts.append(at - ended.pop(file))
        elif kind == "first-step":
            if file in begun:
                verdict.starts.append(at - begun.pop(file))
            if (seconds := event["data"].get("seconds_since_fault")) is not None:
                verdict.recoveries.append(seconds)
    for moment in struck:
        after = [at for at in starts if at > moment]
        if after and min(starts) < moment and min(after) - moment < 60:
            verdict.restarts.append(min(after) - moment)
    for name in ("restarts", "recoveries", "starts"):
        setattr(verdict, name, [each for each in getattr(verdict, name) if 0 <= each < _MOST_SECONDS])
