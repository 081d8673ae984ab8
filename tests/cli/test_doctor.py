"""`trainguard doctor`: a checklist of the machine, quiet where all is well."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from tests.cli.helpers import run

from trainguard.cli.doctor import parse_size
from trainguard.cli.doctor_text import as_document, as_text, checklist
from trainguard.errors import UsageError
from trainguard.facts.machine.records import (
    ClockFacts,
    FolderFacts,
    Gpu,
    LimitsFacts,
    LockFacts,
    MachineFacts,
    MemoryFacts,
    NvidiaFacts,
    TorchFacts,
    WriteProbe,
)
from trainguard.findings import Report
from trainguard.material import report_on
from trainguard.report.json_ import to_json
from trainguard.rules.base import Subject

GIB = 1 << 30
HEALTHY = MachineFacts(
    system="linux",
    cores=16,
    folder=FolderFacts(
        path="out",
        probed="/data/out",
        answered=True,
        filesystem="ext4",
        source="/dev/sda1",
        mount_point="/data",
        network=False,
        total_bytes=10**12,
        free_bytes=8 * 10**11,
        total_inodes=10**7,
        free_inodes=10**6,
        write=WriteProbe(written=True),
        skew_seconds=0.0,
    ),
    memory=MemoryFacts(total_bytes=64 * GIB, available_bytes=60 * GIB, swap_total_bytes=0, swap_used_bytes=0),
    gpus=(
        Gpu(
            index=0,
            name="NVIDIA L4",
            capability=(8, 9),
            total_bytes=24 * GIB,
            free_bytes=23 * GIB,
            used_bytes=GIB // 2,
            processes=(),
        ),
    ),
    nvidia=NvidiaFacts(status="ok", driver="580.82.07", cuda=(13, 0)),
    accelerators=(),
    torch=TorchFacts(version="2.9.1", cuda=(13, 0), sees=1),
    limits=LimitsFacts(open_files=1024, processes=100_000, processes_bind=True),
    clock=ClockFacts(wall_seconds=1_790_000_000.0, drift_seconds=0.0),
)


def report(machine: MachineFacts) -> Report:
    found = report_on(Subject(kind="machine", machine=machine), "this machine")
    assert found.errors == ()
    return found


def statuses(machine: MachineFacts) -> dict[str, str]:
    return {row.thing: row.status for row in checklist(machine, report(machine))}


def test_a_healthy_machine_is_all_ok() -> None:
    assert report(HEALTHY).findings == ()
    assert set(statuses(HEALTHY).values()) == {"ok"}
    text = as_text(report(HEALTHY), checklist(HEALTHY, report(HEALTHY)), color=False, width=None)
    assert text.endswith("Nothing stands in the way of a run.\n")


def test_a_machine_of_which_nothing_can_be_told_is_silent() -> None:
    machine = MachineFacts(folder=FolderFacts(path="out"))
    assert report(machine).findings == ()
    assert set(statuses(machine).values()) == {"ok", "cannot tell"}
    assert report(MachineFacts()).findings == ()


def test_each_line_has_the_status_of_its_findings() -> None:
    assert HEALTHY.folder is not None
    machine = dataclasses.replace(
        HEALTHY,
        needed_bytes=9 * 10**11,
        folder=dataclasses.replace(
            HEALTHY.folder, free_inodes=500, network=True, filesystem="nfs4", lock=LockFacts(path="x", held=True, pid=3)
        ),
        gpus=(*(HEALTHY.gpus or ()), Gpu(index=1, name="NVIDIA L4", total_bytes=24 * GIB, free_bytes=23 * GIB)),
    )
    found = statuses(machine)
    assert found["disk space"] == "problem"
    assert found["inodes"] == "warning"
    assert found["folder"] == "note"
    assert found["lock"] == "warning"
    assert found["GPU 1"] == "note"
    assert found["memory"] == "ok"


def test_a_gpu_with_hardware_errors_is_marked() -> None:
    sick = dataclasses.replace(HEALTHY, gpus=(Gpu(index=0, name="NVIDIA L4", xids=(79,), uncorrected_errors=2),))
    rows = {row.thing: row for row in checklist(sick, report(sick))}
    assert rows["GPU 0"].status == "warning"
    assert "Xid errors in the kernel's log: 79" in rows["GPU 0"].value
    harmless = dataclasses.replace(HEALTHY, gpus=(Gpu(index=0, name="NVIDIA L4", xids=(31,)),))
    assert statuses(harmless)["GPU 0"] == "ok"


# The severities that the examples of the rules cannot show, since a page states one.
@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"free_bytes": 5 * 10**8}, "SYS001", "warn"),
        ({"free_inodes": 8}, "SYS002", "error"),
        ({"free_inodes": 0, "write": WriteProbe(written=False, error="ENOSPC")}, "SYS002", "error"),
        ({"network": True}, "SYS012", "info"),
        ({"stuck_at": "write"}, "SYS012", "warn"),
    ],
)
def test_severities_by_what_is_known(change: dict[str, object], code: str, severity: str) -> None:
    assert HEALTHY.folder is not None
    machine = dataclasses.replace(HEALTHY, folder=dataclasses.replace(HEALTHY.folder, **change))  # type: ignore[arg-type]
    assert [(finding.code, finding.severity) for finding in report(machine).findings] == [(code, severity)]


@pytest.mark.parametrize(
    ("visible", "found"), [("7", ["SYS007"]), ("0", []), ("", []), ("-1", []), ("GPU-x", ["SYS007"])]
)
def test_visible_devices(visible: str, found: list[str]) -> None:
    machine = dataclasses.replace(HEALTHY, visible_devices=visible)
    assert [finding.code for finding in report(machine).findings] == found


def test_numbers_of_unlike_gpus_are_not_taken_for_certain() -> None:
    """CUDA numbers them by speed, nvidia-smi by their place."""
    busy = Gpu(index=0, name="A", total_bytes=24 * GIB, used_bytes=20 * GIB)
    free = Gpu(index=1, name="B", total_bytes=24 * GIB, used_bytes=0)
    machine = dataclasses.replace(HEALTHY, gpus=(busy, free), visible_devices="0")
    assert report(machine).findings == ()
    ordered = dataclasses.replace(machine, device_order="PCI_BUS_ID")
    assert [finding.code for finding in report(ordered).findings] == ["SYS008"]


def test_the_document_is_json() -> None:
    rows = checklist(HEALTHY, report(HEALTHY))
    document = json.loads(to_json(as_document(HEALTHY, report(HEALTHY), rows)))
    assert document["machine"]["gpus"][0]["name"] == "NVIDIA L4"
    assert document["checklist"][0]["thing"] == "system"


def test_hostile_texts_are_made_visible() -> None:
    machine = dataclasses.replace(HEALTHY, folder=FolderFacts(path="a\x1b[2Jb\n", answered=False, deadline_seconds=1.0))
    text = as_text(report(machine), checklist(machine, report(machine)), color=False, width=None)
    assert "\x1b" not in text
    assert "a\\x1b[2Jb\\n" in text


# -- the verb --------------------------------------------------------------------------


def test_this_machine_is_fit_or_says_why_not(tmp_path: Path) -> None:
    done = run("doctor", "--folder", str(tmp_path), "--format", "json")
    document = json.loads(done.stdout)
    errors = [each for each in document["report"]["findings"] if each["severity"] == "error"]
    assert done.returncode == (1 if errors else 0)
    assert {row["thing"] for row in document["checklist"]} >= {"system", "folder", "disk space", "memory", "clock"}
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_does_not_fit_is_a_problem(tmp_path: Path) -> None:
    done = run("doctor", "--folder", str(tmp_path), "--needs", "9PB")
    assert done.returncode == 1
    assert "SYS001 disk-low" in done.stdout
    assert "the next checkpoint takes 9.0 PB" in done.stdout
    assert run("doctor", "--folder", str(tmp_path), "--needs", "9PB", "--fail-on", "never").returncode == 0


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    before = Path.cwd()
    os.chdir(gone)
    try:
        gone.rmdir()
        done = run("doctor", env={"PWD": str(gone)})
    finally:
        os.chdir(before)
    assert done.returncode == 1
    assert "does not exist any more" in done.stdout


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16 * 10**9),
        ("1.5GiB", 3 * GIB // 2),
        ("800M", 800 << 20),
        ("1000", 1000),
        (" 2 tb ".upper(), 2 * 10**12),
        ("7B", 7),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "16 apples", "1e9", "nan", "٣GB", "1" * 400 + "x"])
def test_what_is_no_size_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="--needs"):
        parse_size(text)
