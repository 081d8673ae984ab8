"""Whether a callable of a library refuses an argument, also where it hands what it does not know on to others."""

from __future__ import annotations

from trainguard.facts.api_calls import ApiCalls, BoundCall, Given
from trainguard.facts.api_calls_binding import Target
from trainguard.rules.api._arguments import noticed, stands_for, was_taken
from trainguard.rules.api._replacements import ANNOUNCED


def is_refused(calls: ApiCalls, bound: BoundCall, given: Given) -> bool:
    """Whether none of the callees takes the argument."""
    if not any(target.accepts(given.name) for target in bound.targets):
        return True
    return len(bound.targets) == 1 and _is_taken_out(calls, bound.targets[0], given.name)


def _is_taken_out(calls: ApiCalls, target: Target, argument: str) -> bool:
    """Whether a callee that takes any keyword has announced that it would take this one no longer, and does not."""
    if not target.signature.is_open or argument in target.own_fields or target.signature.names(argument):
        return False
    path = stands_for(target)
    signature = calls.signatures.of(path)
    if signature is None or signature.names(argument):
        return False
    if not was_taken(calls.signatures, path, argument):
        return False
    past = calls.signatures.past(path, argument)
    return argument in ANNOUNCED or noticed(calls.signatures, path, argument, past) is not None
