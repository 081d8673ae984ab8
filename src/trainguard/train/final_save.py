"""The trained model in `output_dir/final`: written aside, synced, listed in a manifest, and only then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainguard.checkpoints import write_manifest
from trainguard.durable import sync_folder
from trainguard.facts.checkpoint.manifest import differences, read_manifest
from trainguard.facts.weights.files import UnsoundError
from trainguard.fencing import Fence, FencedError

FINAL = "final"
_STAGING = ".trainguard-final"
_REPLACED = ".trainguard-replaced-final"


def save_final(
    output_dir: Path,
    write: Callable[[Path], None],
    *,
    step: int,
    run: Mapping[str, Any],
    base_model: Path | None,
    fence: Fence | None = None,
) -> Path:
    """Replaces `output_dir/final` by what `write` writes into the folder that it gets; where it is now.

    The former one stands until the new one is whole. What an interrupted call left is removed. Raises what `write`
    raises, OSError where the disk does not let it, and FencedError where somebody else has the folder now (`fence`);
    then the former one stands.
    """
    final, staged, replaced = output_dir / FINAL, output_dir / _STAGING, output_dir / _REPLACED
    fence = fence or Fence(output_dir, None)
    fence.check()  # before anything of another process's is removed
    _put_back(final, replaced)
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        write(staged)
        write_manifest(staged, step=step, run=run, base_model=base_model)
        with fence.committing():
            if final.exists():
                os.rename(final, replaced)
            os.rename(staged, final)
    except FencedError:
        raise  # the folder aside may be that of the other process by now
    except BaseException:
        _put_back(final, replaced)
        shutil.rmtree(staged, ignore_errors=True)
        raise
    sync_folder(output_dir)
    shutil.rmtree(replaced, ignore_errors=True)
    return final


def is_final(output_dir: Path, *, step: int, data_hash: str) -> bool:
    """Whether the trained model of this step and this data stands there, whole."""
    folder = output_dir / FINAL
    try:
        manifest = read_manifest(folder)
        return (
            manifest is not None
            and manifest.step == step
            and manifest.run.get("data_hash") == data_hash
            and not differences(folder, manifest)
        )
    except (UnsoundError, OSError):
        return False


def _put_back(final: Path, replaced: Path) -> None:
    """The former one, where a process was killed between the two renames."""
    if replaced.is_dir() and not final.exists():
        os.rename(replaced, final)
