"""What stands on the disk: the queue, the checkpoints and the files, read in a process of its own.

`observe.py CONFIG` prints all of it as JSON, `observe.py --newest OUTPUT` the newest step that verifies byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from trainguard.facts.checkpoint.manifest import read_manifest
from trainguard.facts.checkpoint.reading import checkpoint_folders
from trainguard.facts.checkpoint.verify import verify


def newest(output: Path) -> int:
    for folder in reversed(checkpoint_folders(output)):
        if verify(folder, output, deep=True).verified:
            return int(folder.name.rpartition("-")[2])
    return 0


def observe(config: Path) -> dict[str, Any]:
    import msgspec

    from trainguard.daemon.settings import read_daemon_settings
    from trainguard.queue.store import open_queue

    settings = read_daemon_settings(config)
    queue = open_queue(settings.home, lineage=settings.lineage, owner="observer")
    files = [msgspec.to_builtins(each) for each in queue.list()]
    events = [msgspec.to_builtins(each) for each in queue.events()]
    queue.close()
    final = settings.output_dir / "final"
    manifest = read_manifest(final) if final.is_dir() else None
    seen = final / "seen.json"
    return {
        "files": files,
        "events": events,
        "kept": _hashes(settings.home, settings.inbox),
        "final": dict(manifest.run) if manifest is not None else None,
        "seen": json.loads(seen.read_bytes()) if seen.is_file() else [],
        "newest": newest(settings.output_dir),
        "final_step": manifest.step if manifest is not None else 0,
    }


def _hashes(*folders: Path) -> dict[str, list[str]]:
    """Where which content is, by hash: what was dropped must be somewhere."""
    found: dict[str, list[str]] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20:
                place = str(path.relative_to(folder.parent))
                found.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(place)
    return found


if __name__ == "__main__":
    if sys.argv[1] == "--newest":
        print(newest(Path(sys.argv[2])))
    else:
        print(json.dumps(observe(Path(sys.argv[1]))))
