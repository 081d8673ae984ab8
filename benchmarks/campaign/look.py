"""What stands at the end of a life, as JSON: `python look.py CONFIG`. See `trainguard.drills.process._daemon.look`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from trainguard.drills.process import _daemon


def main() -> None:
    config = Path(sys.argv[1])
    found = _daemon._look(config)
    print(json.dumps(found | {"final": _final(config.with_name("out") / "final")}))


def _final(folder: Path) -> dict[str, Any] | None:
    """The step of the result, and what it was trained on last."""
    from trainguard.facts.checkpoint.manifest import read_manifest

    manifest = read_manifest(folder) if folder.is_dir() else None
    return {"step": manifest.step, "run": manifest.run} if manifest is not None else None


if __name__ == "__main__":
    main()
