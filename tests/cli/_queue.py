"""Calls the verbs about a queue in this process: a configuration in a folder, a queue beside it."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainguard.queue.store import Queue, open_queue

CONFIG = 'base_model = "base"\ndata = "train.jsonl"\noutput_dir = "out"\n'


def write_config(folder: Path) -> Path:
    path = folder / "trainguard.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@contextmanager
def queue_of(folder: Path) -> Iterator[Queue]:
    """The queue of the configuration in `folder`, made where there is none."""
    output = (folder / "out").absolute()
    queue = open_queue(output / "queue", lineage=str(output), owner="test")
    try:
        yield queue
    finally:
        queue.close()


def call(verb: str, *args: str | Path) -> tuple[int, str]:
    """The exit code and what went to stdout. Raises UsageError as the verb does."""
    command = importlib.import_module(f"trainguard.cli.{verb}").command
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = command.main([str(each) for each in args], standalone_mode=False)
    return code or 0, out.getvalue()
