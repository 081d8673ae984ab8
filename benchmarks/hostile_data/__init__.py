"""Training files that are made to hurt, each with what has to be said of it.

What is said is a set of codes of which one has to come, and the line (the row of an array or a table) that it has to
name. Files are written when asked for; `small` writes the large ones at a tenth of their size.
"""

from __future__ import annotations

from . import borders, files, sizes, text
from .record import HOSTILE, Hostile, around, good, saved

__all__ = ["HOSTILE", "Hostile", "around", "borders", "files", "good", "saved", "sizes", "text"]
