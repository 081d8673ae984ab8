"""Which releases there are, and their wheels: the real client against a server of our own, the real pip on a folder."""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trainguard.errors import UnreadableInputError
from trainguard.indexing.wheels import Published, fetched, published


def file(name: str, day: str, *, yanked: bool = False) -> dict[str, object]:
    return {"filename": name, "upload_time_iso_8601": f"{day}T10:00:00.000000Z", "yanked": yanked}


RELEASES = {
    "1.10.0": [file("lib-1.10.0-py3-none-any.whl", "2026-03-02"), file("lib-1.10.0.tar.gz", "2026-03-01")],
    "1.9.0": [file("lib-1.9.0-py3-none-any.whl", "2026-02-01", yanked=True)],
    "0.9": [file("lib-0.9-py3-none-any.whl", "2025-01-01")],
    "1.8.0": [file("lib-1.8.0.tar.gz", "2026-01-01")],
    "2.0.0rc1": [file("lib-2.0.0rc1-py3-none-any.whl", "2026-04-01")],
    "not-a-version": [file("lib-x-py3-none-any.whl", "2020-01-01")],
    "1.7.0": [],
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        bodies = {"/lib": json.dumps({"releases": RELEASES}), "/broken": "{", "/other": json.dumps({"info": {}})}
        body = bodies.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{{name}}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_final_releases_with_a_wheel_are_listed_in_order(api: str) -> None:
    assert published("lib", "1.0", api=api) == [
        Published(version="1.9.0", date="2026-02-01", yanked=True),
        Published(version="1.10.0", date="2026-03-02", yanked=False),
    ]


@pytest.mark.parametrize("name", ["unknown", "broken", "other"])
def test_an_index_that_cannot_be_asked_is_said(api: str, name: str) -> None:
    with pytest.raises(UnreadableInputError, match=f"{name}: the package index cannot be asked"):
        published(name, api=api)


def test_an_index_that_is_not_there_is_said() -> None:
    with pytest.raises(UnreadableInputError, match="cannot be asked"):
        published("lib", api="http://127.0.0.1:9/{name}")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip takes for its index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    with zipfile.ZipFile(folder / "lib-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("lib/__init__.py", "")
        wheel.writestr("lib-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lib\nVersion: 1.0\n")
        wheel.writestr("lib-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("lib-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.mark.usefixtures("shelf")
def test_a_wheel_is_there_while_it_is_read() -> None:
    with fetched("lib", "1.0") as wheel:
        assert wheel.name == "lib-1.0-py3-none-any.whl"
        assert zipfile.is_zipfile(wheel)
    assert not wheel.exists()


def test_a_wheel_can_be_kept(shelf: Path, tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    with fetched("lib", "1.0", keep) as wheel:
        assert wheel.parent == keep / "lib"
    (shelf / wheel.name).unlink()
    with fetched("lib", "1.0", keep) as again:
        assert again == wheel


@pytest.mark.usefixtures("shelf")
def test_a_wheel_that_cannot_be_had_is_said_with_pips_words() -> None:
    with pytest.raises(UnreadableInputError, match=r"lib==2\.0: pip cannot fetch it: .*No matching distribution"):
        fetched("lib", "2.0").__enter__()
