"""What `trainguard run` says on stderr: lines for people, or JSON Lines."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from trainguard.findings import Finding
from trainguard.recovery.records import Decision, Failure
from trainguard.report.run_text import finding_text
from trainguard.report.visible import visible

_DOES = {
    "retry": "again",
    "pause": "waits",
    "hold": "not started again",
    "quarantine": "not started again",
    "fail": "not started again",
    "stop": "stops",
    "rollback": "goes back",
}


class TextTeller:
    """For people."""

    def __init__(self, color: bool) -> None:
        self._color = color

    def tell(self, event: str, /, **values: Any) -> None:
        getattr(self, f"_on_{event}")(**values)

    def _on_note(self, *, words: str) -> None:
        self._say(words)

    def _on_unguarded(self, *, words: str) -> None:
        self._say(f"not guarded: {words}")

    def _on_started(self, *, attempt: int, pid: int, words: list[str], checkpoint: Path | None) -> None:
        since = f", from {checkpoint.name}" if checkpoint is not None else ""
        self._say(f"attempt {attempt}{since} (pid {pid}): {shlex.join(words)}")

    def _on_finding(self, *, finding: Finding) -> None:
        _print(finding_text(finding, color=self._color))

    def _on_ended(self, *, attempt: int, code: int, failure: Failure | None) -> None:
        if failure is None:
            self._say(f"attempt {attempt} ended with {code}")
        else:
            self._say(f"attempt {attempt} ended with {code}: {failure.code} {failure.why}")

    def _on_decision(self, *, decision: Decision, failure: Failure) -> None:  # noqa: ARG002 - what Tell gives
        after = f" in {decision.delay_seconds:,.0f} s" if decision.delay_seconds else ""
        changes = ", ".join(f"{name} = {value}" for name, value in decision.changes.items())
        with_ = f" with {changes}" if changes else ""
        self._say(f"{_DOES[decision.act]}{after}{with_}: {decision.why}")

    def _on_done(self, *, code: int, words: str) -> None:
        if words:  # else the attempt's own end has said it
            self._say(f"ends with {code}: {words}")

    def _say(self, words: str) -> None:
        name = "\x1b[1mtrainguard\x1b[0m" if self._color else "trainguard"
        _print(f"{name}: {visible(words)}")


class JsonTeller:
    """One JSON object a line, each with `event` and `time`."""

    def tell(self, event: str, /, **values: Any) -> None:
        _print(_json(event, values))


class Recorder:
    """Keeps every event as a line of JSON in a file, too, where no word of the command comes between. `supervisor` is
    this process's number, by which two runs that share the file are told apart."""

    def __init__(self, path: Path, teller: TextTeller | JsonTeller) -> None:
        self._path = path
        self._teller = teller

    def tell(self, event: str, /, **values: Any) -> None:
        with suppress(OSError), self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{_json(event, {'supervisor': os.getpid(), **values})}\n")
        self._teller.tell(event, **values)


def _json(event: str, values: Mapping[str, Any]) -> str:
    plain = {key: _plain(value) for key, value in values.items()}
    return json.dumps({"event": event, "time": round(time.time(), 3), **plain}, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Finding):
        return value.to_dict()
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value


def _print(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody reads, the terminal or the disk has gone; the run goes on
        return
