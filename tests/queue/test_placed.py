"""Which folder belongs to a lineage: known to its database, so that no machine takes an empty mount point for it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.queue.backends import Backend
from tests.queue.postgres import Server

from trainguard.daemon.placing import arrive, not_as_told
from trainguard.daemon.settings import Settings, read_daemon_settings
from trainguard.queue.custody import AwayError
from trainguard.queue.place import MARK, Place
from trainguard.queue.placed import tell_place, told_place
from trainguard.queue.store import open_queue


@pytest.mark.parametrize("backend", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_the_first_number_that_is_told_stands(backend: Backend) -> None:
    one, two = backend.open("one"), backend.open("two")
    assert told_place(one) is None
    assert tell_place(one, "a" * 32) == "a" * 32
    assert tell_place(two, "b" * 32) == told_place(two) == "a" * 32


def _machine(folder: Path, url: str) -> Settings:
    """As each machine reads it: the same path, whatever is mounted there."""
    (folder / "base").mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"base_model": "base", "output_dir": "out"}))
    return read_daemon_settings(folder / "config.json", environment={}, database_url=url)


@pytest.mark.postgres
def test_a_machine_without_the_share_makes_nothing_in_its_place(tmp_path: Path, postgres: Server) -> None:
    settings = _machine(tmp_path, postgres.url())
    queue = open_queue(
        settings.home, lineage=settings.lineage, owner="one", database_url=settings.database_url, busy_seconds=30.0
    )
    try:
        place = Place(settings.home)
        arrive(settings, queue, place)
        assert (settings.home / MARK).read_text().strip() == place.number == told_place(queue)
        assert not_as_told(settings, queue) is None
        os.rename(settings.output_dir, tmp_path / "share")
        settings.output_dir.mkdir()
        with pytest.raises(AwayError, match=f"echo {place.number} > "):
            arrive(settings, queue, Place(settings.home))
        assert str(place.number) in str(not_as_told(settings, queue))
        assert os.listdir(settings.output_dir) == []
        Place(tmp_path).claim()
        settings.home.mkdir()
        shutil.copy(tmp_path / MARK, settings.home)
        with pytest.raises(AwayError, match="the folder of another queue"):
            arrive(settings, queue, Place(settings.home))
        shutil.rmtree(settings.output_dir)
        os.rename(tmp_path / "share", settings.output_dir)
        arrive(settings, queue, Place(settings.home))
    finally:
        queue.close()
