"""The uses of a subject's script and commands that the API rules share: read once for all of them."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from trainguard.facts.api import ApiFacts
from trainguard.facts.api_calls import ApiCalls
from trainguard.facts.api_calls_lines import OptionLine, option_lines
from trainguard.rules.base import Subject

_lines: WeakKeyDictionary[ApiFacts, tuple[OptionLine, ...]] = WeakKeyDictionary()
_read: WeakKeyDictionary[ApiFacts, ApiCalls] = WeakKeyDictionary()


def api_calls(subject: Subject) -> ApiCalls | None:
    """What the script uses of the known libraries; None where there is no script, or it names none of them."""
    api, script = subject.api, subject.script
    if api is None or script is None:
        return None
    if api not in _read:
        # Before anything is resolved: most scripts that name no library end here.
        if not any(library in script.mentions for library in api.index.libraries):
            return None
        _read[api] = ApiCalls(script, api.signatures)
    calls = _read[api]
    return calls if calls.concerns else None


def api_lines(subject: Subject) -> tuple[OptionLine, ...]:
    """The command lines of the subject that give options to known dataclasses."""
    api, script, job = subject.api, subject.script, subject.job
    if api is None or not _may_have_lines(subject):
        return ()
    if api not in _lines:
        _lines[api] = tuple(option_lines(api.signatures, script, job))
    return _lines[api]


def _may_have_lines(subject: Subject) -> bool:
    script, job = subject.script, subject.job
    if script is not None and ("Parser" in script.text or "trl" in script.text):
        return True
    return job is not None and job.command is not None and "trl" in job.command.text
