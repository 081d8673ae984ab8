"""Writes the reconstructed traces.

    python tests/traces/make_reconstructed.py --tuning FOLDER --unseen FOLDER

A third of them, drawn by name, goes to the unseen ones.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tests.traces import (
    faulty_level,
    faulty_loss,
    faulty_run,
    faulty_training,
    healthy,
    healthy_preferences,
    healthy_runs,
)
from tests.traces.shaping import Book


def books() -> list[Book]:
    modules = (faulty_level, faulty_loss, faulty_run, faulty_training, healthy, healthy_preferences, healthy_runs)
    return [book for module in modules for book in module.all_books()]


def split(names: list[str]) -> set[str]:
    """A third of the names: the unseen ones, as many of the healthy as of the faulty."""
    names = sorted(names)
    return set(random.Random("unseen traces").sample(names, round(len(names) / 3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuning", type=Path, required=True)
    parser.add_argument("--unseen", type=Path, required=True)
    arguments = parser.parse_args()
    made = books()
    twice = [name for name, count in Counter(book.name for book in made).items() if count > 1]
    if twice:
        raise SystemExit(f"names used twice: {twice}")
    unseen = split([book.name for book in made if book.labels]) | split([book.name for book in made if not book.labels])
    for book in made:
        book.write(arguments.unseen if book.name in unseen else arguments.tuning)
    codes = Counter(label["code"] for book in made for label in book.labels)
    healthy_count = sum(not book.labels for book in made)
    print(f"{len(made)} traces, {healthy_count} healthy; labels: {dict(sorted(codes.items()))}")


if __name__ == "__main__":
    main()
