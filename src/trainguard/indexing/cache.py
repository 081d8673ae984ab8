"""Module records kept by the hash of their text: most modules are the same in the next release."""

from __future__ import annotations

import json
import sqlite3
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Protocol, cast

from trainguard.indexing.raw import READER, ModuleRecord


class Cache(Protocol):
    """Where module records are kept; `key` is made by `key_of`."""

    def get(self, key: str) -> ModuleRecord | None: ...

    def put(self, key: str, record: ModuleRecord) -> None: ...


class FileCache:
    """A cache in one SQLite file. Several processes may use it at once; a lost file costs time only."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, record BLOB)")

    def get(self, key: str) -> ModuleRecord | None:
        row = self._connection.execute("SELECT record FROM records WHERE key = ?", (key,)).fetchone()
        return None if row is None else cast(ModuleRecord, json.loads(zlib.decompress(row[0])))

    def put(self, key: str, record: ModuleRecord) -> None:
        packed = zlib.compress(json.dumps(record, separators=(",", ":")).encode(), 1)
        self._connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (key, packed))

    def close(self) -> None:
        self._connection.close()


def key_of(text: str) -> str:
    """The key of a module's text. Its name plays no part: a record says nothing that depends on it."""
    return f"{READER}:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"
