"""What is known of an attempt that ended: collected from the system and from what the run wrote, and judged elsewhere.

Only what belongs to this attempt: files that outlive attempts are read from where they ended when it began, counters of
the kernel are differences, and what cannot be told is None.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

from trainguard.daemon.beats import NewLines, last_bytes
from trainguard.daemon.child import Ended
from trainguard.daemon.hang import Hang
from trainguard.daemon.kernel_log import KernelLog, numbers_are_the_kernels
from trainguard.daemon.nanny import OUTPUT
from trainguard.facts.machine.cgroups import memory_limit
from trainguard.facts.machine.folder import read_folder
from trainguard.facts.machine.mounts import Mount, mount_of, read_mounts
from trainguard.facts.machine.nvidia import read_nvidia
from trainguard.recovery.records import Evidence, Phase
from trainguard.train.events import EVENTS, FOLDER
from trainguard.train.heartbeat import HEARTBEAT

_FAILURE = "failure.txt"  # written by the run (train/failures.py)
_TAIL_BYTES, _TAIL_LINES = 64 * 1024, 200
_LONGEST_LINE = 2000
_TRACEBACK_BYTES = 16 * 1024
_MOST_EVENTS = 8 << 20
_MOST_FINDINGS = 100
_LONGEST_UPTIME = 1e10
_FOLDER_SECONDS = 10.0
_GPU_SECONDS = 15.0
# What a file system says whose server or device is gone: stale NFS handle, FUSE without its process, host away.
_GONE = frozenset({"ESTALE", "ENOTCONN", "EHOSTDOWN", "ENODEV", "ENXIO", "ETIMEDOUT"})
# Out of memory: Killed process 4242 (python) total-vm:...   (mm/oom_kill.c, __oom_kill_process)
_VICTIM = re.compile(r"Killed process (\d+) \(")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # ECMA-48, 5.4: control sequences


class Witness:
    """Watches one attempt: make it and `start` it before the command begins, ask for `evidence` when it has ended.

    `output_dir` is what the run writes into.
    """

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        own = output_dir / FOLDER
        self._beats = own / HEARTBEAT
        self._events_path = own / EVENTS
        self._failure_path = own / _FAILURE
        self._mount: Mount | None = None
        self.start()

    def start(self) -> Witness:
        """Notes where everything stands. The same once more begins anew."""
        self.close()
        self._kernel = KernelLog()
        self._began = time.monotonic()
        self._heartbeat = NewLines(self._beats)
        self._events = NewLines(self._events_path, most_bytes=_MOST_EVENTS)
        self._failure = NewLines(self._failure_path, most_bytes=_TRACEBACK_BYTES)
        self._mount = self._mounted()
        return self

    def close(self) -> None:
        """Gives the kernel's log back."""
        kernel = getattr(self, "_kernel", None)
        if kernel is not None:
            kernel.close()

    def evidence(
        self,
        ended: Ended,
        *,
        folder: Path,
        asked_by: str | None = None,
        hang: Hang | None = None,
        planned_steps: int | None = None,
        own_steps: int | None = None,
        machine_going_down: bool | None = None,
    ) -> Evidence:
        """All that is known of the attempt in `folder`, once. Takes some seconds at most, and never raises.

        `asked_by` is who of trainguard ended it. Steps that the caller knows go before those in the output.
        """
        clean = ended.exit_code == 0
        beat = _last_beat(self._heartbeat.lines())
        events = self._events.lines()
        output = last_bytes(folder / OUTPUT, _TAIL_BYTES)
        said = list(_objects(output))
        counted = _steps(said)
        silent = round(time.monotonic() - beat["t"], 3) if beat is not None else None
        kernel = _about(self._kernel.lines(), ended.pids)
        self.close()  # a daemon makes one of these an attempt, for weeks
        return Evidence(
            exit_code=ended.exit_code,
            signal=ended.signal,
            asked_by=asked_by or ("hang" if hang is not None else None),
            tail=_tail(output, ended.reason),
            findings=_findings(events, said),
            traceback=self._failure.bytes().decode("utf-8", "backslashreplace").strip() or None,
            phase=_phase(beat, said),
            step=_whole(beat.get("step")) if beat is not None else None,
            seconds=ended.seconds,
            silent_seconds=round(hang.silent_seconds, 3) if hang is not None else silent,
            oom_kills=ended.oom_kills,
            not_started=ended.not_started,
            peak_rss_bytes=ended.peak_rss_bytes,
            group_peak_bytes=ended.group_peak_bytes,
            memory_limit_bytes=_memory_limit(),
            kernel=kernel,
            planned_steps=planned_steps if planned_steps is not None else counted[1],
            own_steps=own_steps if own_steps is not None else counted[0],
            machine_going_down=machine_is_going_down() if machine_going_down is None else machine_going_down,
            gpu_answers=None if clean else gpu_answers(),
            result_saved=True if any(_is_result(each) for each in events) else None,
            **({} if clean else self._disk()),
        )

    def _disk(self) -> dict[str, Any]:
        """The output folder's file system, asked by a child with a deadline: it may be gone."""
        gone = self._mount is not None and self._mounted() != self._mount
        facts = read_folder(self._output_dir, deadline_seconds=_FOLDER_SECONDS)
        silent = facts.answered is False or facts.stuck_at is not None
        broken = facts.write is not None and facts.write.error in _GONE
        return {
            "disk_free_bytes": None if gone or silent else facts.free_bytes,
            "needed_bytes": facts.checkpoint_bytes or None,
            "inodes_free": facts.free_inodes if facts.total_inodes else None,
            "mount_gone": gone or silent or broken,
        }

    def _mounted(self) -> Mount | None:
        """The mount of the output folder, from the kernel's table: asking the folder itself might hang."""
        mounts = read_mounts()
        if mounts is None:
            return None
        with suppress(OSError, ValueError):
            # The link is followed once, at the start, when the folder answers.
            if self._mount is None:
                self._real = os.path.realpath(self._output_dir)
            return mount_of(self._real, mounts)
        return None


def machine_is_going_down() -> bool:
    """Whether the system is being shut down: systemd says "stopping" then (systemctl(1), is-system-running)."""
    if os.path.exists("/run/nologin") and os.path.exists("/run/systemd/shutdown/scheduled"):
        return True
    if not os.path.isdir("/run/systemd/system"):  # sd_booted(3)
        return False
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["systemctl", "is-system-running"], capture_output=True, check=False, timeout=2.0, stdin=subprocess.DEVNULL
        )
        return done.stdout.strip() == b"stopping"
    return False


def gpu_answers() -> bool | None:
    """Whether the GPUs answer; None where there are none, or nothing to ask them with."""
    facts, gpus = read_nvidia(deadline_seconds=_GPU_SECONDS)
    if facts is None:
        return None
    if facts.status in ("timeout", "error"):
        return False
    if facts.status != "ok" or not gpus:
        return None
    return not any(gpu.problem for gpu in gpus)


def _tail(output: bytes, reason: str | None) -> tuple[str, ...]:
    lines = []
    for line in output.decode("utf-8", "backslashreplace").split("\n"):
        # Of a line that was drawn over and over, what stood there last.
        shown = _ESCAPE.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip()
        if shown:
            lines.append(shown if len(shown) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]}…")
    if reason is not None and reason not in lines:
        lines.append(reason)
    return tuple(lines[-_TAIL_LINES:])


def _objects(output: bytes) -> Iterator[dict[str, Any]]:
    """The events that a run prints with `--format json`."""
    for line in output.split(b"\n"):
        if line.startswith(b"{"):
            with suppress(ValueError, RecursionError):
                value = json.loads(line)
                if isinstance(value, dict) and isinstance(value.get("event"), str):
                    yield value


def _findings(events: Iterable[Mapping[str, Any]], said: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Those of the run, and the errors of the checks before it where they stopped it; each once, oldest first."""
    found = []
    for line in said:
        if line["event"] == "checks" and line.get("stops"):
            forced = line.get("forced") or ()
            reports = line.get("reports")
            every = [
                each
                for report in (reports if isinstance(reports, list) else [])
                if isinstance(report, dict) and isinstance(report.get("findings"), list)
                for each in report["findings"]
            ]
            found += [
                each
                for each in every
                if isinstance(each, dict) and each.get("severity") == "error" and each.get("code") not in forced
            ]
    found += [line["finding"] for line in events if isinstance(line.get("finding"), dict)]
    found += [line["finding"] for line in said if isinstance(line.get("finding"), dict)]
    once = {(str(each.get("code")), str(each.get("message")), str(each.get("step"))): each for each in reversed(found)}
    return tuple(reversed(list(once.values())))[-_MOST_FINDINGS:]


def _steps(said: Iterable[Mapping[str, Any]]) -> tuple[int | None, int | None]:
    """This file's steps that were made, and that were planned, as the run itself printed them."""
    done = planned = None
    for line in said:
        if line["event"] in ("begin", "progress", "metrics"):
            done, planned = _whole(line.get("step")), _whole(line.get("steps"))
        elif line["event"] in ("end", "stopped"):
            done, planned = _whole(line.get("steps")), _whole(line.get("planned")) or planned
    return done, planned


def _phase(beat: Mapping[str, Any] | None, said: Iterable[Mapping[str, Any]]) -> Phase:
    """What it was doing: by its last sign of life, else by what it printed."""
    names = [line.get("name") for line in said if line["event"] == "phase"] if beat is None else [beat["phase"]]
    known: dict[object, Phase] = {name: name for name in get_args(Phase)}
    return known.get(names[-1], "unknown") if names and isinstance(names[-1], str) else "unknown"


def _last_beat(lines: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    last = None
    for line in lines:
        t = line.get("t")
        # Seconds since a boot, whatever else may stand there.
        if isinstance(line.get("phase"), str) and isinstance(t, int | float) and 0 <= t < _LONGEST_UPTIME:
            last = line
    return last


def _about(lines: tuple[str, ...], pids: tuple[int, ...]) -> tuple[str, ...]:
    """The kernel's lines without those of kills of other processes, where its numbers are ours."""
    if not pids or not numbers_are_the_kernels():
        return lines
    own = {str(pid) for pid in pids}
    return tuple(line for line in lines if (found := _VICTIM.search(line)) is None or found[1] in own)


def _is_result(line: Mapping[str, Any]) -> bool:
    return line.get("event") == "save" and line.get("final") is True


def _memory_limit() -> int | None:
    limit = memory_limit()
    return limit.limit if limit is not None else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
