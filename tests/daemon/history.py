"""A queue with a history as a daemon writes it, made by the queue's own calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainguard.queue.records import QueuedFile
from trainguard.queue.store import Queue

HOSTILE = "<script>alert(1)</script>\x1b[31m\n\"'&.jsonl"
FAILURE = {
    "kind": "not-finite",
    "code": "RUN001",
    "why": "the loss is NaN from step 7 on <b>",
    "fingerprint": "x",
    "step": 7,
}
DECISION = {
    "act": "rollback",
    "why": "back to before its onset",
    "policy": "not-finite",
    "delay_seconds": 10.0,
    "changes": {},
    "before_step": 6,
    "skip": [6, 8],
    "advice": "look at these examples",
}


def accepted(queue: Queue, name: str, *, priority: Any = "normal", number: int = 0) -> QueuedFile:
    file, _ = queue.accept(
        name, f"{hash((name, number)) & (2**256 - 1):064x}"[-64:], 1234, f"{name}:{number}", priority
    )
    return file


def taken(queue: Queue) -> Any:
    """The next accepted file, checked and taken for training: its lease."""
    checking = queue.take(("accepted",), "checking")
    assert checking is not None
    queue.move_to(checking, "waiting", cause=None)
    lease = queue.take()
    assert lease is not None
    return lease


def trained(queue: Queue, name: str, *, before: int = 0, steps: int = 10, fault: bool = False) -> QueuedFile:
    """A file that was trained, with `fault` after a rollback."""
    accepted(queue, name)
    lease = taken(queue)
    number = lease.file.id
    queue.event("attempt-start", file_id=number, attempt=1, pid=4711, changes={}, skipped=[])
    queue.event("first-step", file_id=number, attempt=1, seconds_since_fault=None, step=before + 1)
    if fault:
        queue.event(
            "attempt-end",
            file_id=number,
            attempt=1,
            cause=str(FAILURE["why"]),
            exit_code=1,
            signal=None,
            seconds=12.5,
            steps=7,
            failure=FAILURE,
            decision=DECISION,
        )
        memory = {"recovery": {"attempts": [], "changes": {}, "skipped": [[6, 8]]}}
        queue.move_to(lease, "waiting", cause="RUN001", memory=memory)
        lease = queue.take()
        assert lease is not None
        queue.event("attempt-start", file_id=number, attempt=2, pid=4712, changes={"batch_size": 2}, skipped=[[6, 8]])
        queue.event("first-step", file_id=number, attempt=2, seconds_since_fault=11.0, step=before + 6)
        queue.event("recovered", file_id=number, attempt=2, cause="trains again", seconds=11.0, lost_steps=2)
    end: dict[str, Any] = {"exit_code": 0, "signal": None, "seconds": 30.0, "steps": steps, "failure": None}
    queue.event("attempt-end", file_id=number, attempt=2 if fault else 1, decision=None, **end)
    queue.move_to(lease, "verifying", cause=None)
    return queue.move_to(
        lease,
        "done",
        cause=None,
        step_before=before,
        step=before + steps,
        planned_steps=steps,
        checkpoint=f"checkpoint-{before + steps}",
    )


def write_events(output_dir: Path, *, steps: int = 10, now: float = 1000.0, pace: float = 2.0) -> None:
    """The run's own files: metrics of each step, heartbeats, and lines that are torn or nonsense."""
    folder = output_dir / "trainguard"
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[Any] = [{"event": "start", "time": now, "t": 0.0, "step": 0}]
    for step in range(1, steps + 1):
        at = {"time": now + pace * step, "t": pace * step, "step": step}
        lines.append({**at, "event": "metrics", "metrics": {"loss": 3.0 / step, "learning_rate": 1e-4}})
    lines.append({"event": "metrics", "step": "x", "metrics": {"loss": "NaN"}})
    text = "".join(json.dumps(each) + "\n" for each in lines) + '{"event": "metr'
    (folder / "events.jsonl").write_text(text, encoding="utf-8")
    beat = {"t": pace * steps, "time": now + pace * steps, "pid": 1, "phase": "train", "step": steps}
    (folder / "heartbeat.jsonl").write_text(json.dumps(beat) + "\n[1]\n", encoding="utf-8")
    skipped = [
        {"file_number": 2, "step": step, "position": step, "row": step, "line": step + 1, "text": "<i>bad</i> row"}
        for step in (6, 7, 8, 20)
    ]
    (folder / "skipped.jsonl").write_text("".join(json.dumps(each) + "\n" for each in skipped), encoding="utf-8")
