"""Every name and argument that went away from one indexed release to the next is found in a script that uses it.

The list is made from the index itself, so this says that the rules reach what the index knows, not that the index is
right; `make verify-index` says that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from trainguard.check import Options, check_job
from trainguard.cli.index_text import at_release
from trainguard.libraries.api.changes import Change, changes
from trainguard.libraries.api.index import open_index
from trainguard.libraries.api.query import Found
from trainguard.libraries.api.records import Class, Function
from trainguard.libraries.api.signatures import Signatures

LIBRARIES = ("transformers", "trl", "peft", "accelerate", "datasets", "huggingface_hub")
_LOST = {"removed", "moved", "argument-removed", "argument-renamed"}

pytestmark = pytest.mark.slow


def neighbours(library: str) -> Iterator[tuple[str, str]]:
    versions = open_index().versions(library)
    yield from pairwise(versions)


def lost(library: str, old: str, new: str) -> tuple[list[Change], Signatures]:
    """What went away, as seen from the newer release and what is installed with it."""
    after = at_release(open_index(), library, new)
    found = [c for c in changes(after.at(library, old), after, library) if c.kind in _LOST]
    return found, Signatures(after)


def lines_for(change: Change, number: int, signatures: Signatures) -> list[str]:
    """Code that uses what has gone, the use in the last line."""
    library, _, rest = change.path.partition(".")
    if change.kind in ("removed", "moved") and "." not in rest:
        return [f"from {library} import {rest} as name_{number}"]
    owner, _, method = change.path.rpartition(".")
    at = signatures.interfaces.find(owner)
    argument = f"{change.argument}=thing" if change.argument else ""
    if not isinstance(at, Found) or not isinstance(at.definition, Class):
        return [f"{change.path}({argument})"]
    known = signatures.interfaces.find(change.path)
    if isinstance(known, Found) and isinstance(known.definition, Function) and known.definition.kind != "method":
        return [f"{change.path}({argument})"]
    return [f"value_{number} = {owner}()", f"value_{number}.{method}({argument})"]


def explained(change: Change, signatures: Signatures) -> str | None:
    """Why a use of what has gone is rightly not reported."""
    known = signatures.of(change.path)
    if change.argument and known is not None and known.is_open:
        return "what is not named goes on to places that cannot be told, and the library announced nothing"
    if change.argument and known is not None and any(p.name == change.argument for p in known.parameters):
        return "the parameter is there, by position only"
    if not change.argument and "." in change.path.partition(".")[2]:
        owner = change.path.rpartition(".")[0]
        if not signatures.interfaces.known_line(owner)[1]:
            return "the class has a base outside of the index, which may have a method of that name"
    return None


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_went_away_is_found(library: str) -> None:
    counts: Counter[str] = Counter()
    missed: list[str] = []
    for old, new in neighbours(library):
        gone, signatures = lost(library, old, new)
        if not gone:
            continue
        text, line_of = [f"import {library}", "thing = input()"], {}
        for number, change in enumerate(gone):
            text += lines_for(change, number, signatures)
            line_of[change] = len(text)
        job = {"script": "\n".join(text) + "\n", "dependencies": [f"{library.replace('_', '-')}=={new}"]}
        (report,) = check_job(job, options=Options(select=("API001", "API002"), python_engine=False))
        assert not report.errors, report.errors[0].message
        found = {f.where.line for f in report.findings if f.where is not None}
        for change in gone:
            counts["all"] += 1
            reason = explained(change, signatures)
            if line_of[change] in found:
                counts["found"] += 1
            elif reason is not None:
                counts[reason] += 1
            else:
                missed.append(f"{library} {old} -> {new}: {change.kind} {change.path} {change.argument}")
    print(library, dict(counts), *missed[:40], sep="\n")
    judged = counts["found"] + len(missed)
    assert counts["all"] >= 5
    assert counts["found"] / judged > 0.95, "\n".join(missed[:40])
