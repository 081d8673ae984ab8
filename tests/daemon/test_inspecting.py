"""The check of files by a worker that lives on: what it says, and what happens to the file that it dies of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainguard.daemon.aside import Said
from trainguard.daemon.checks import read_verdict
from trainguard.daemon.inspecting import Inspector, check_command
from trainguard.daemon.settings import Settings, read_daemon_settings

SOUND = '{"text": "a sound row"}\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "base").mkdir()
    (tmp_path / "config.json").write_text(json.dumps({"base_model": "base", "output_dir": "out"}))
    return read_daemon_settings(tmp_path / "config.json", environment={})


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    made = Inspector()
    yield made
    made.close()


def _file(folder: Path, name: str, content: str = SOUND) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def _said(inspector: Inspector) -> Said:
    end = time.monotonic() + 120.0
    while (said := inspector.poll(0.2)) is None:
        assert time.monotonic() < end
    return said


def _check(inspector: Inspector, path: Path, settings: Settings) -> bool | None:
    inspector.begin(path, path.stat().st_size, settings)
    return read_verdict(_said(inspector), path.name).fit


def test_one_process_checks_many_files_as_the_command_does(
    tmp_path: Path, settings: Settings, inspector: Inspector
) -> None:
    contents = {
        "sound.jsonl": SOUND * 20,
        "broken.jsonl": SOUND + '{"text": ',
        "empty.jsonl": "",
        "halves.jsonl": '{"text": "\\ud800 half a pair"}\n' * 3,
        "columns.jsonl": SOUND + '{"txet": 3}\n',
    }
    pids = set()
    for name, content in contents.items():
        path = _file(tmp_path, name, content)
        inspector.begin(path, path.stat().st_size, settings)
        said = _said(inspector)
        pids.add(inspector.pid)
        alone = subprocess.run(check_command(path, settings), capture_output=True, check=False)
        wanted = read_verdict(Said(exit_code=alone.returncode, output=alone.stdout, error=""), name)
        assert read_verdict(said, name) == wanted, name
    assert len(pids) == 1
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    path.write_text(SOUND)
    assert _check(inspector, path, settings) is True
    assert _check(inspector, tmp_path / "broken.jsonl", settings) is False


def _worker(inspector: Inspector, path: Path, settings: Settings) -> int:
    """The process that has checked a file and waits for the next one."""
    assert _check(inspector, path, settings) is True
    assert inspector.pid is not None
    return inspector.pid


def test_a_file_is_not_blamed_for_a_worker_that_was_killed(
    tmp_path: Path, settings: Settings, inspector: Inspector, caplog: pytest.LogCaptureFixture
) -> None:
    sound, broken = _file(tmp_path, "sound.jsonl"), _file(tmp_path, "broken.jsonl", '{"text": ')
    for path, fit in ((sound, True), (broken, False)):
        worker = _worker(inspector, sound, settings)
        os.kill(worker, signal.SIGSTOP)
        inspector.begin(path, 9, settings)
        os.kill(worker, signal.SIGKILL)  # as the kernel does for want of memory, in the middle of a check
        assert read_verdict(_said(inspector), path.name).fit is fit
    assert f"the worker that checked {broken.name} is given up (it ended)" in caplog.text
    worker = _worker(inspector, sound, settings)
    os.kill(worker, signal.SIGKILL)  # and one that nobody asked just then
    assert _check(inspector, sound, settings) is True


def test_a_file_is_not_blamed_for_a_worker_that_hangs(
    tmp_path: Path, settings: Settings, inspector: Inspector, caplog: pytest.LogCaptureFixture
) -> None:
    sound, broken = _file(tmp_path, "sound.jsonl"), _file(tmp_path, "broken.jsonl", '{"text": ')
    worker = _worker(inspector, sound, settings)
    os.kill(worker, signal.SIGSTOP)
    inspector._worker_seconds = 0.5
    assert _check(inspector, broken, settings) is False
    assert "gave no answer within 0.5 s" in caplog.text
    assert inspector.pid is None
    assert not Path(f"/proc/{worker}").exists()


def test_a_worker_is_ended_when_it_has_had_enough(tmp_path: Path, settings: Settings) -> None:
    path = _file(tmp_path, "sound.jsonl")
    inspector = Inspector(most_files=2, idle_seconds=0.5)
    pids = []
    for _ in range(2):
        assert _check(inspector, path, settings) is True
        pids.append(inspector.pid)
    assert [each is None for each in pids] == [False, True], "after two files another one takes its place"
    assert _check(inspector, path, settings) is True
    before = inspector.pid
    time.sleep(0.6)
    inspector.rest()
    assert (before is None, inspector.pid is None) == (False, True), "nobody asks it any more"
    large = Inspector(most_resident_bytes=1)
    assert _check(large, path, settings) is True
    assert large.pid is None, "it holds too much memory"


def test_a_check_that_is_broken_off_leaves_nothing(tmp_path: Path, settings: Settings, inspector: Inspector) -> None:
    sound, broken = _file(tmp_path, "sound.jsonl"), _file(tmp_path, "broken.jsonl", '{"text": ')
    assert _check(inspector, sound, settings) is True
    inspector.begin(broken, 9, settings)
    inspector.end()
    assert inspector.pid is None
    assert inspector.poll() is None
    assert _check(inspector, sound, settings) is True, "the answer is this file's, not the other's"


def test_a_large_file_has_a_process_of_its_own(tmp_path: Path, settings: Settings, inspector: Inspector) -> None:
    path = _file(tmp_path, "broken.jsonl", '{"text": ')
    inspector.begin(path, 1 << 30, settings)
    assert inspector.pid is None
    assert read_verdict(_said(inspector), path.name).fit is False


def test_the_worker_ends_with_its_daemon_and_loads_no_training_library(tmp_path: Path) -> None:
    path = _file(tmp_path, "sound.jsonl")
    asked = json.dumps({"path": str(path), "deadline_seconds": 60.0, "max_length": 64, "batch_size": 2}) + "\n"
    code = (
        "import sys\nfrom trainguard.daemon.check_worker import main\nmain()\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'pyarrow') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], input=asked.encode() * 3, capture_output=True, timeout=60.0, check=True
    )
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [each["exit_code"] for each in answers] == [0, 0, 0]
    assert all(0 < each["resident_bytes"] < 100 << 20 for each in answers)
    assert ended.stderr.decode().splitlines() == ["[]"], "what is printed does not come between the answers"


def test_a_check_that_cannot_be_begun_anew_is_begun_later(
    tmp_path: Path, settings: Settings, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker hangs, and a full temporary folder lets no other process be begun: the check must not stand still."""
    sound, broken = _file(tmp_path, "sound.jsonl"), _file(tmp_path, "broken.jsonl", '{"text": ')
    assert _check(inspector, sound, settings) is True
    assert inspector.pid is not None
    os.kill(inspector.pid, signal.SIGSTOP)
    inspector.begin(broken, broken.stat().st_size, settings)
    inspector._worker_seconds = 0.0
    with monkeypatch.context() as full:
        full.setattr("tempfile.tempdir", str(tmp_path / "gone"))
        for _ in range(2):
            with pytest.raises(OSError, match="No such file"):
                inspector.poll(0.1)
    assert read_verdict(_said(inspector), broken.name).fit is False
