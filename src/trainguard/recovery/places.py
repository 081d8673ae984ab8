"""What an exception means by the line that raised it, where its words are those of no known message.

Some code of libraries sees only one thing: the classes of arguments never see an example, the readers of data files
nothing else. So whatever such a line refuses is that thing's fault.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from trainguard.recovery.reading import Raised
from trainguard.recovery.records import Kind

# What says that a value is wrong. An AttributeError or KeyError there is more likely a mistake of the library.
_REFUSALS = frozenset({"ValueError", "TypeError", "ImportError", "NotImplementedError", "RuntimeError"})
_UNREADABLE = frozenset({"UnicodeDecodeError", "JSONDecodeError", "ParserError", "ArrowInvalid", "ArrowTypeError"})


class Place(Struct, frozen=True, kw_only=True):
    """A place in a library, and what it means when one of `types` comes from there. `function` empty: any."""

    name: str
    kind: Kind
    code: str
    path: re.Pattern[str]
    types: frozenset[str]
    function: frozenset[str] = frozenset()


def _place(**given: Any) -> Place:
    return Place(**{**given, "path": re.compile(given["path"])})


_PACKAGE = r"(?:site|dist)-packages[/\\]"
PLACES: tuple[Place, ...] = (
    # transformers 5.23, training_args.py and trainer.py; trl 1.16, trainer/*_config.py; peft 0.21, tuners/*/config.py;
    # accelerate 1.15, utils/dataclasses.py.
    _place(
        name="arguments",
        kind="config",
        code="CFG004",
        path=_PACKAGE
        + r"(?:transformers|trl|peft|accelerate)[/\\].*(?:training_args|config|dataclasses|trainer)\w*\.py$",
        types=_REFUSALS,
        function=frozenset({"__post_init__", "_validate_args", "validate_environment", "post_init"}),
    ),
    # datasets 5.2, packaged_modules/*; pyarrow 25 beneath it.
    _place(
        name="a reader of data files",
        kind="data",
        code="DATA020",
        path=_PACKAGE + r"datasets[/\\](?:packaged_modules[/\\]|builder\.py$)",
        types=_UNREADABLE,
    ),
)


def of_place(raised: Raised) -> Place | None:
    """The place that raised it, if it is one that tells; None as a rule."""
    frame = raised.innermost
    if frame is None:
        return None
    return next(
        (
            each
            for each in PLACES
            if raised.type in each.types
            and (not each.function or frame.function in each.function)
            and each.path.search(frame.path)
        ),
        None,
    )
