"""Rebuild `src/trainguard/libraries/api/index.bin`: the interfaces of the training libraries, release by release.

    python scripts/build_api_index.py                          # adds the releases that the file lacks
    python scripts/build_api_index.py --rebuild --only trl     # reads all releases of one library again
    python scripts/build_api_index.py --wheels FOLDER          # keeps the wheels there, and takes those it finds

Wheels are fetched by pip, without their dependencies, one at a time, and deleted after they were read. They are
parsed, never imported. A new release takes seconds; all of them, from nothing, about an hour and 4 GB of downloads.
The same releases give the same bytes. Never used at run time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainguard.indexing.build import histories, read_wheel, warm
from trainguard.indexing.cache import FileCache
from trainguard.indexing.wheels import Published, fetched, published
from trainguard.indexing.writer import LibraryHistory, write

INDEX = Path(__file__).parents[1] / "src/trainguard/libraries/api/index.bin"

# Distribution, import name, oldest release.
LIBRARIES = (
    ("transformers", "transformers", "4.36"),
    ("trl", "trl", "0.7"),
    ("peft", "peft", "0.7"),
    ("accelerate", "accelerate", "0.25"),
    ("datasets", "datasets", "2.14"),
    ("huggingface-hub", "huggingface_hub", "0.20"),
    ("trackio", "trackio", "0.1"),
    ("bitsandbytes", "bitsandbytes", "0.41"),
    ("safetensors", "safetensors", "0.4"),
    ("kernels", "kernels", "0.1"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=INDEX)
    parser.add_argument("--only", metavar="NAME", action="append", help="only this distribution; may be repeated")
    parser.add_argument("--rebuild", action="store_true", help="read releases again that the file has")
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="keep the wheels in FOLDER/NAME/")
    parser.add_argument("--cache", type=Path, metavar="FILE", help="keep what was read of each module")
    options = parser.parse_args()
    names = [name for name, _, _ in LIBRARIES]
    for name in options.only or ():
        if name not in names:
            parser.error(f"--only {name}: it may be {', '.join(names)}")
    started = time.monotonic()
    known = histories(options.out)
    added = 0
    for distribution, library, since in LIBRARIES:
        if options.only and distribution not in options.only:
            continue
        if options.rebuild:
            known.pop(library, None)
        history = known.setdefault(library, LibraryHistory(library, distribution))
        releases = [each for each in published(distribution, since) if each.version not in history.versions]
        added += _add(history, releases, options.wheels, options.cache)
    if added or not options.out.exists():
        write(options.out, [history for history in known.values() if history.releases])
    size = options.out.stat().st_size / 1e6
    print(f"{added} releases added in {time.monotonic() - started:.0f} s; {options.out.name} has {size:.2f} MB")
    return 0


def _add(history: LibraryHistory, releases: list[Published], wheels: Path | None, cache_path: Path | None) -> int:
    if cache_path is not None and wheels is not None:
        found = sorted((wheels / history.distribution).glob("*.whl"))
        warm(found, cache_path)
    cache = FileCache(cache_path) if cache_path is not None else None
    for release in _shown(history.name, releases):
        with fetched(history.distribution, release.version, wheels) as wheel:
            interface = read_wheel(wheel, history.name, date=release.date, yanked=release.yanked, cache=cache)
            history.add(interface)
    return len(releases)


def _shown(name: str, releases: list[Published]) -> Iterator[Published]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(name, total=len(releases))
        for release in releases:
            progress.update(bar, description=f"{name} {release.version}")
            yield release
            progress.advance(bar)


if __name__ == "__main__":
    sys.exit(main())
