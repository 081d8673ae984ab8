"""Faults that happen in a process of their own, and runs with and without their guard."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from trainguard.drills.forking import forked, run_forked
from trainguard.drills.guard import Guard


def answer(**given: Any) -> dict[str, Any]:
    print('{"event": "finding", "finding": {"severity": "warn", "message": "seen", "code": "RUN004"}}')
    print("no JSON")
    print("words", file=sys.stderr)
    return {**given, "pid": os.getpid(), "torch": "torch" in sys.modules, "folder": os.getcwd()}


def leave(*, code: int) -> None:
    raise SystemExit(code)


def fail() -> None:
    raise KeyError("answers")


def sleep(*, seconds: float) -> None:
    Path("sleeps").touch()
    time.sleep(seconds)


def guarded_only(*, guarded: bool) -> dict[str, Any]:
    return {"guarded": guarded}


def test_a_fork_has_the_libraries_and_its_own_folder(tmp_path: Path) -> None:
    first = run_forked(answer, {"number": 1}, tmp_path / "one")
    second = run_forked(answer, {"number": 2}, tmp_path / "two")
    assert (first.code, first.value["number"], first.value["torch"]) == (0, 1, True)
    assert first.value["folder"] == str(tmp_path / "one")
    assert first.value["pid"] != second.value["pid"]
    assert (first.log, len(first.events)) == ("words\n", 1)
    assert [finding.code for finding in first.findings] == ["RUN004"]


def test_an_end_of_any_kind_is_told_and_the_server_lives(tmp_path: Path) -> None:
    assert run_forked(leave, {"code": 75}, tmp_path).code == 75
    failed = run_forked(fail, {}, tmp_path)
    assert failed.code == 1
    assert "KeyError: 'answers'" in failed.log
    with forked(sleep, {"seconds": 60}, tmp_path) as fork:
        fork.send(signal.SIGKILL)
        assert fork.wait().code == -signal.SIGKILL
    assert run_forked(answer, {}, tmp_path).code == 0
    # What an earlier one has left is not taken for its own.
    assert run_forked(leave, {"code": 1}, tmp_path).value == {}


def test_a_fork_that_hangs_is_ended(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"did not end within 0\.5 s"):
        run_forked(sleep, {"seconds": 60}, tmp_path, seconds=0.5)
    assert time.monotonic() - begun < 30
    with forked(sleep, {"seconds": 60}, tmp_path) as fork:
        pid = fork.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_gpu_is_seen_only_where_it_is_asked_for(tmp_path: Path) -> None:
    assert run_forked(visible, {}, tmp_path).value == {"devices": ""}
    assert run_forked(visible, {}, tmp_path, gpu=True).value == {"devices": os.environ.get("CUDA_VISIBLE_DEVICES")}


def visible() -> dict[str, Any]:
    return {"devices": os.environ.get("CUDA_VISIBLE_DEVICES")}


def test_a_guard_that_is_off_watches_and_guards_nothing(tmp_path: Path) -> None:
    nan = [{"step": step, "loss": float("nan"), "grad_norm": 1.0} for step in range(1, 4)]
    on, off = Guard(), Guard.off(("RUN001",))
    assert [finding.code for finding in on.watch(nan, declared={"max_steps": 100})] == ["RUN001"]
    assert off.watch(nan, declared={"max_steps": 100}) == ()
    assert on.run(guarded_only, tmp_path).value == {"guarded": True}
    assert off.run(guarded_only, tmp_path).value == {"guarded": False}


def test_a_script_is_checked_without_the_codes_that_are_off(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("print(learning_rat)\n", encoding="utf-8")
    assert [finding.code for finding in Guard().script(path)] == ["PY002"]
    assert Guard.off(("PY002",)).script(path) == ()
