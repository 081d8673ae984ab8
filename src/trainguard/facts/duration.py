"""How long a job may run: the grammar in which the hub client reads `timeout`."""

from __future__ import annotations

import math

# huggingface_hub 2.4.0, `_jobs_api._create_job_spec`: a string that ends in one of these letters is
# `int(float(text[:-1]) * factor)`, everything else is `int(timeout)`, and a falsy value is left out.
_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# The server's limit where no timeout is sent: huggingface_hub 2.4.0, docstring of `HfApi.run_job`
# ("Default is 30 minutes" in docs/hub/jobs-configuration.md).
DEFAULT_TIMEOUT_SECONDS = 1800.0

_LONGEST_SHOWN = 40


def parse_timeout(value: object) -> float:
    """The seconds that the hub client would send for `value`: a number is seconds.

    A string is a number followed by `s`, `m`, `h` or `d`, or a whole number of seconds. Fractions of a
    second are dropped, as the client drops them. Zero and negative values pass: they are legal to the client.

    Raises ValueError, with the reason, for everything that makes the client raise, and for a bool.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"a timeout is a number of seconds or a text such as '90m', not {_shown(value)}")
    if isinstance(value, str):
        return _parse_text(value)
    return _whole_seconds(value, value)


def _parse_text(text: str) -> float:
    unit = text[-1:]
    if not unit:
        raise ValueError("the timeout is empty")
    try:
        if unit in _SECONDS_PER_UNIT:
            return _whole_seconds(float(text[:-1]) * _SECONDS_PER_UNIT[unit], text)
        return _whole_seconds(int(text), text)
    except ValueError as error:
        if error.args and str(error).startswith("the timeout "):
            raise
        raise ValueError(
            f"{_shown(text)} is not a number followed by s, m, h or d, nor a whole number of seconds"
        ) from None


def _whole_seconds(seconds: float, raw: object) -> float:
    try:
        if math.isfinite(seconds):
            return float(int(seconds))
    except OverflowError:
        pass
    raise ValueError(f"the timeout {_shown(raw)} is not a finite number of seconds")


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_LONGEST_SHOWN:
        return "an integer of more than 40 digits"
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
