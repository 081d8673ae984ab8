"""Files and names that outlive a power cut."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainguard.durable import make_folder, make_folder_below, sync_folder, temporary_prefix, write_atomically


def test_a_file_is_replaced_at_once_and_nothing_is_left_beside(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def test_what_cannot_be_written_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(path, b"one")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    assert len(os.fsencode(temporary_prefix(path))) < 120


def test_killed_at_any_instant_a_reader_sees_one_content_or_the_other(tmp_path: Path) -> None:
    code = (
        "import sys, itertools\nfrom pathlib import Path\nfrom trainguard.durable import write_atomically\n"
        "print(flush=True)\n"
        "for n in itertools.count(): write_atomically(Path(sys.argv[1]), (b'%d ' % n) * 20000)"
    )
    path = tmp_path / "state"
    for wait in (0.0, 0.003, 0.011, 0.02):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        signal.sigtimedwait([], wait)
        process.kill()
        process.wait()
        process.stdout.close()
        if path.exists():
            words = path.read_bytes().split()
            assert len(words) == 20000
            assert len(set(words)) == 1


@pytest.mark.parametrize(("number", "raises"), [(errno.EIO, True), (errno.EINVAL, False), (errno.ENOSYS, False)])
def test_a_folder_that_cannot_be_synced_is_let_be_and_a_disk_that_lost_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raises: bool
) -> None:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    before = len(os.listdir("/proc/self/fd"))
    if raises:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")


def test_a_folder_below_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    """As where `files` is a link to a disk that is away."""
    (tmp_path / "files").symlink_to(tmp_path / "away" / "files")
    for make in (make_folder, lambda folder: make_folder_below(tmp_path, folder)):
        with pytest.raises(FileNotFoundError):
            make(tmp_path / "files" / "abc")
    make_folder_below(tmp_path, tmp_path / "one" / "two")
    assert (tmp_path / "one" / "two").is_dir()
