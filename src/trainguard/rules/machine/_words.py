"""How the rules about a machine write sizes and places."""

from __future__ import annotations

from trainguard.facts.machine.records import FolderFacts
from trainguard.findings import Location

GIB = 1 << 30
_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size(count: float) -> str:
    """A number of bytes in decimal units, as disks and `df -H` count: "1.5 GB"."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in _UNITS:
        count /= 1000
        if count < 999.95 or unit == _UNITS[-1]:
            break
    return f"{count:.1f} {unit}"


def at(folder: FolderFacts) -> Location:
    return Location(folder.path)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
