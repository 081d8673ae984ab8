"""The metadata of the releases on PyPI on 2026-11-20, as far as they require each other: what the resolver's tests use.

`releases.json`: by library, rows of version, day of upload, Requires-Python, Requires-Dist (null: as in the row before)
and whether the release was yanked. Extras for developers are left out.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from trainguard.libraries.api.records import Release


@cache
def recorded_releases() -> dict[str, tuple[Release, ...]]:
    found: dict[str, tuple[Release, ...]] = {}
    for library, rows in json.loads(Path(__file__).with_name("releases.json").read_text("utf-8")).items():
        requires: tuple[str, ...] = ()
        releases: list[Release] = []
        for version, date, python, given, yanked in rows:
            requires = requires if given is None else tuple(given)
            releases.append(Release(version=version, date=date, python=python, requires=requires, yanked=yanked))
        found[library] = tuple(releases)
    return found
