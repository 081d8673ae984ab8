"""Processes that really end so, and what is made of their exit status and their own output."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainguard.recovery.classify import classify
from trainguard.recovery.records import Evidence, Failure


def ended(folder: Path, script: str, *, limit: Callable[[], None] | None = None, **known: Any) -> Failure | None:
    """What a script of Python ended with, told from what a supervisor sees of it."""
    path = folder / "train.py"
    path.write_text(textwrap.dedent(script), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        preexec_fn=limit,
        env=environment,
        check=False,
    )
    code, number = (None, -done.returncode) if done.returncode < 0 else (done.returncode, None)
    tail = tuple(done.stdout.decode("utf-8", "backslashreplace").splitlines()[-200:])
    return classify(Evidence(exit_code=code, signal=number, tail=tail, **known))


def kind_of(failure: Failure | None) -> str | None:
    return failure.kind if failure is not None else None


def test_a_kill_is_a_kill(tmp_path: Path) -> None:
    failure = ended(tmp_path, f"import os; os.kill(os.getpid(), {signal.SIGKILL:d})", oom_kills=0)
    assert kind_of(failure) == "killed"


def test_a_segmentation_fault_under_faulthandler(tmp_path: Path) -> None:
    failure = ended(tmp_path, "import faulthandler; faulthandler.enable(); import ctypes; ctypes.string_at(0)")
    assert kind_of(failure) == "code"


def test_a_mapped_file_that_was_cut_short(tmp_path: Path) -> None:
    script = """
        import mmap
        with open("data.bin", "wb+") as file:
            file.truncate(8192)
            view = mmap.mmap(file.fileno(), 8192)
            file.truncate(0)
            view[5000]
    """
    assert kind_of(ended(tmp_path, script)) == "code"
    assert kind_of(ended(tmp_path, script, disk_free_bytes=0)) == "disk-full"


def test_a_limit_of_memory(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))

    failure = ended(tmp_path, "rows = [bytes(1 << 20) for _ in range(4096)]", limit=limit)
    assert kind_of(failure) == "ram-oom"


def test_a_full_device(tmp_path: Path) -> None:
    script = """
        with open("/dev/full", "w") as file:
            file.write("x")
    """
    full = ended(tmp_path, script, disk_free_bytes=0)
    assert kind_of(full) == "disk-full"
    assert full is not None
    assert "elsewhere" not in full.data
    other = ended(tmp_path, script, disk_free_bytes=10**12)
    assert other is not None
    assert other.data["elsewhere"] is True


def test_a_refused_connection(tmp_path: Path) -> None:
    script = """
        import socket
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        socket.create_connection(("127.0.0.1", taken.getsockname()[1]), timeout=5)
    """
    assert kind_of(ended(tmp_path, script)) == "network"


def test_an_error_that_was_logged_and_survived_before_another(tmp_path: Path) -> None:
    script = """
        import logging
        for step in range(3):
            try:
                raise MemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            except MemoryError:
                logging.exception("this batch is left out")
            print({"loss": 2.0 - step}, flush=True)
        rows = {}
        rows["messages"]
    """
    failure = ended(tmp_path, script)
    assert kind_of(failure) == "code"
    assert failure is not None
    assert failure.data["place"].startswith("code/KeyError@")


def test_errors_that_were_logged_by_a_script_that_succeeds(tmp_path: Path) -> None:
    script = """
        import logging
        try:
            raise MemoryError
        except MemoryError:
            logging.exception("once more with half of it")
    """
    assert ended(tmp_path, script) is None


def test_a_chain_with_the_cause_below(tmp_path: Path) -> None:
    script = """
        def load():
            try:
                raise OSError(5, "Input/output error", "x.arrow")
            except OSError as error:
                raise RuntimeError("could not load the data") from error
        load()
    """
    assert kind_of(ended(tmp_path, script)) == "disk-error"


def test_a_script_that_is_not_there_and_an_option_that_is_not_known(tmp_path: Path) -> None:
    missing = subprocess.run([sys.executable, "no.py"], cwd=tmp_path, capture_output=True, check=False)
    tail = tuple(missing.stderr.decode().splitlines())
    assert kind_of(classify(Evidence(exit_code=missing.returncode, tail=tail))) == "config"
    script = "import argparse, sys; argparse.ArgumentParser().parse_args(['--learning-rat', '1'])"
    assert kind_of(ended(tmp_path, script)) == "config"


_DATASET = """
    import os, signal, torch
    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 8
        def __getitem__(self, at):
            {body}
    if __name__ == "__main__":
        for batch in torch.utils.data.DataLoader(Rows(), batch_size=2, num_workers=1):
            pass
"""


@pytest.mark.slow
def test_a_worker_of_the_data_loader_that_raises(tmp_path: Path) -> None:
    failure = ended(tmp_path, _DATASET.format(body='return {}["text"]'))
    assert kind_of(failure) == "code"
    assert failure is not None
    assert "KeyError@" in failure.data["place"]
    assert "train.py:7" in failure.data["place"]


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "kind"), [(1, "ram-oom"), (0, "killed"), (None, "ram-oom")])
def test_a_worker_of_the_data_loader_that_was_killed(tmp_path: Path, kills: int | None, kind: str) -> None:
    script = _DATASET.format(body="os.kill(os.getpid(), signal.SIGKILL)")
    assert kind_of(ended(tmp_path, script, oom_kills=kills)) == kind


@pytest.mark.slow
def test_torch_has_no_room(tmp_path: Path) -> None:
    failure = ended(tmp_path, "import torch; torch.empty(10**15)")
    assert kind_of(failure) == "ram-oom"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")', "gpu-oom"),
        ("os.kill(os.getpid(), 9)", "killed"),
        ("os.kill(os.getpid(), 11)", "code"),
        ('{}["text"]', "code"),
    ],
)
def test_under_torchrun(tmp_path: Path, body: str, kind: str) -> None:
    (tmp_path / "rank.py").write_text(f"import os, torch\n{body}\n", encoding="utf-8")
    script = """
        import runpy, sys
        sys.argv = ["torchrun", "--nproc-per-node=2", "--standalone", "rank.py"]
        runpy.run_module("torch.distributed.run", run_name="__main__")
    """
    failure = ended(tmp_path, script)
    assert kind_of(failure) == kind, failure
