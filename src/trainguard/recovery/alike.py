"""Whether file after file is put aside for the same fault, which then is not the files' own."""

from __future__ import annotations

from collections.abc import Sequence

from trainguard.recovery.records import Failure, Kind

_IN_A_ROW = 3
# Faults that say which file they are about. Three files that are empty are three empty files.
_OWN: frozenset[Kind] = frozenset({"data", "stopped"})


def several_alike(failures: Sequence[Failure], *, least: int = _IN_A_ROW) -> str | None:
    """Why the queue should be paused: the last `least` files were put aside for the same fault; None where not.

    `failures` are the last failures of the files that were failed, quarantined or held, one a file, oldest first, with
    none in between that was trained.
    """
    last = list(failures)[-least:]
    if least < 2 or len(last) < least:
        return None
    places = {str(each.data.get("place") or each.kind) for each in last}
    if len(places) > 1 or last[0].kind in _OWN:
        return None
    return f"the last {least} files ended with the same fault, so it is not theirs: {last[-1].why}"
