"""Hostile training files: each is a finding at its place, and none costs more memory than a process may have here."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from benchmarks.hostile_data import HOSTILE, Hostile, around, good, saved

from trainguard import check_data

# What each process of a check may hold: the limit, and what the interpreter and pyarrow map beside.
_DATA_BYTES = 1_000_000_000
_RESIDENT_BYTES = 500_000_000
_SECONDS = 240  # a hang, on any machine
_CHILD = """
import json, re, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
from trainguard import check_data
said = [
    (f.code, f.severity, f.where and f.where.line, f.message)
    for f in check_data(sys.argv[1])
]
unit = 1 if sys.platform == "darwin" else 1024
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.platform == "linux":  # there ru_maxrss begins with that of the process that started this one
    own = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps([max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * unit, said]))
"""


def complaint(case: Hostile, said: list[tuple[str | None, str, int | None, str]]) -> str:
    """What is wrong with what was said of a hostile file; empty where nothing is."""
    loud = [each for each in said if each[1] != "info"]
    if not case.codes:
        return f"valid, and yet: {loud}" if loud else ""
    fitting = [each for each in loud if each[0] in case.codes]
    if not fitting:
        return f"expected {sorted(case.codes)}, said {loud}"
    if case.line is not None and all(each[2] != case.line for each in fitting):
        return f"expected at line {case.line}, said {fitting}"
    return "" if all(len(each[3]) < 2000 for each in loud) else f"a message of {max(len(each[3]) for each in loud)}"


def of(path: Path) -> list[tuple[str | None, str, int | None, str]]:
    return [(f.code, f.severity, f.where.line if f.where else None, f.message) for f in check_data(path)]


@pytest.mark.parametrize("case", [each for each in HOSTILE if not each.large], ids=lambda case: case.name)
def test_small(case: Hostile, tmp_path: Path) -> None:
    assert not complaint(case, of(case.make(tmp_path, True)))


@pytest.mark.parametrize("case", [each for each in HOSTILE if each.large], ids=lambda case: case.name)
def test_large_in_bounded_memory(case: Hostile, tmp_path: Path) -> None:
    path = case.make(tmp_path, True)
    command = [sys.executable, "-c", _CHILD, str(path), str(_DATA_BYTES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    resident, said = json.loads(done.stdout)
    assert not complaint(case, said)
    assert resident <= _RESIDENT_BYTES


@pytest.mark.parametrize("change", ["cut", "emptied", "deleted", "grown", "replaced"])
def test_file_that_changes_under_the_reader(change: str, tmp_path: Path) -> None:
    """Cut short while it is read: a finding or a full reading, never an exception, a hang or a dead process."""
    path = saved(tmp_path, (good(number) + b"\n" for number in range(400_000)))
    size = path.stat().st_size

    def act() -> None:
        if change == "cut":
            for share in (7, 5, 3, 2):
                os.truncate(path, size * share // 10 + 3)
        elif change == "emptied":
            os.truncate(path, 0)
        elif change == "deleted":
            path.unlink()
        elif change == "grown":
            with path.open("ab") as file:
                file.write(b"{broken\n" * 1000)
        else:
            other = saved(tmp_path, b"{broken\n", "other.jsonl")
            os.replace(other, path)

    timer = threading.Timer(0.02, act)
    timer.start()
    said = of(path)
    timer.join()
    assert {each[0] for each in said} <= {"DATA001", "DATA002", "DATA020"}
    after = of(path)
    codes = {each[0] for each in after if each[1] != "info"}
    expected = {"cut": {"DATA002"}, "emptied": {"DATA001"}, "deleted": {"DATA020"}}
    assert codes == expected.get(change, {"DATA002"})


@pytest.mark.parametrize("name", ["train.jsonl", "train.json", "train.csv", "train.parquet", "train.jsonl.gz"])
def test_unreadable_as_another_user(name: str, tmp_path: Path) -> None:
    """A file of mode 000, read by somebody who is not root."""
    path = saved(tmp_path, around(good(9)), name)
    path.chmod(0)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from trainguard import check_data\n"
        "check_data(Path(sys.argv[2]))\n"  # all is imported while the installation can be read
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "print([f.code for f in check_data(Path(sys.argv[1]))])"
    )
    for folder in [tmp_path, *tmp_path.parents[:3]]:
        if folder.owner() == path.owner():
            folder.chmod(folder.stat().st_mode | 0o111)
    warm = saved(tmp_path, around(good(9)), "warm-" + name)
    command = [sys.executable, "-c", program, str(path), str(warm)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.stdout.strip() == "['DATA020']", done.stderr[-2000:]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    saved(tmp_path / "data", around(good(9)))
    saved(tmp_path, b"{broken", "secret.jsonl")
    (tmp_path / "data" / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    assert "secret" not in " ".join(each[3] for each in of(tmp_path / "data"))
    assert "DATA002" not in {each[0] for each in of(tmp_path / "data")}


def test_many_open_files_are_not_needed(tmp_path: Path) -> None:
    """A folder of 500 shards, and few descriptors."""
    (tmp_path / "data").mkdir()
    for number in range(500):
        saved(tmp_path / "data", good(number) + b"\n", f"train-{number:05}.jsonl")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 40, before[1]))
    try:
        assert [each for each in of(tmp_path / "data") if each[1] != "info"] == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
