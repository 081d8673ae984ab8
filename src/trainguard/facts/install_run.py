"""The installations of a command one by one, where `CommandFacts` has them all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainguard.facts.command_run import Run
from trainguard.facts.requirements import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallLine:
    """One run of an installer: its arguments, what they install, and what of it cannot be told.

    `layered` tells that it is what a wrapper installs for the program that it runs (`uv run --with`).
    """

    arguments: list[str]
    known: tuple[Requirement, ...]
    unknown: tuple[str, ...]
    layered: bool


class InstallRun(Run):
    """Follows a command and notes each of its installations in `lines`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        self.lines: list[InstallLine] = []
        self._layering = False

    def _unwrap(self, words: list[str]) -> list[str] | None:
        before = len(self.lines)
        self._layering = True
        try:
            return super()._unwrap(words)
        finally:
            self._layering = False
            self._join(before)

    def _install(self, arguments: Sequence[str]) -> None:
        known, unknown = len(self.installs), len(self.unknown_installs)
        super()._install(arguments)
        self.lines.append(
            InstallLine(
                arguments=list(arguments),
                known=tuple(self.installs[known:]),
                unknown=tuple(self.unknown_installs[unknown:]),
                layered=self._layering,
            )
        )

    def _join(self, before: int) -> None:
        """All that one wrapper installs, it installs in one run: `uv run --with a --with b`."""
        lines = self.lines[before:]
        if len(lines) > 1:
            joined = InstallLine(
                arguments=[argument for line in lines for argument in line.arguments],
                known=tuple(each for line in lines for each in line.known),
                unknown=tuple(each for line in lines for each in line.unknown),
                layered=True,
            )
            self.lines[before:] = [joined]
