"""The exceptions that users see. Each message names the input, what is wrong and the remedy."""

from __future__ import annotations


class TrainguardError(Exception):
    """Base of all errors that trainguard raises on purpose."""


class UsageError(TrainguardError):
    """The command, an argument or a settings file is wrong. Exit code 2."""


class UnreadableInputError(TrainguardError):
    """A script, notebook or job file cannot be read. Exit code 2."""


class BrokenRuleError(TrainguardError):
    """A rule file cannot be imported or breaks the contract of a rule. Exit code 3."""


class EngineError(TrainguardError):
    """An engine that trainguard relies on, such as ty, is missing, crashed or ran out of time. Exit code 3."""
