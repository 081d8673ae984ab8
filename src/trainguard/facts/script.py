"""What a script is: the reading that all rules share. Parsed, never executed.

`read_script` takes text; everything else is found when it is first asked for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from trainguard.facts.calls import Call
from trainguard.facts.command import CommandFacts, read_command
from trainguard.facts.pep723 import Pep723, read_pep723
from trainguard.facts.persistence import Persistence
from trainguard.facts.resolver import Resolver
from trainguard.facts.shell_calls import shell_command
from trainguard.facts.source import Source, text_source
from trainguard.facts.structure import Handler, Import, Structure
from trainguard.facts.syntax import Syntax, parse
from trainguard.facts.training import Training
from trainguard.facts.walk import read_structure
from trainguard.findings import Location

if TYPE_CHECKING:
    from trainguard.facts.diagnostics import Diagnostic

# Each handler is compared with the rest of the script; the longest modules of the training libraries have 60.
_MAX_HANDLERS = 300
_WORD = re.compile(r"[A-Za-z_]\w*")
DEFAULT_PYTHON = "3.12"  # the default image of HF Jobs' script mode and of its Docker mode


class ScriptFacts:
    """The facts of one script. Attributes are computed once, when a rule first asks.

    `arguments` is the command line that the job gives the script, None where nobody has said.
    `python_version` is the Python that the job runs, such as "3.12".
    """

    def __init__(
        self, source: Source, *, arguments: Sequence[str] | None = None, python_version: str = DEFAULT_PYTHON
    ) -> None:
        self.source = source
        self.arguments = tuple(arguments) if arguments is not None else None
        self.python_version = python_version
        self._diagnostics: tuple[Diagnostic, ...] | None = None

    @property
    def path(self) -> str | None:
        return self.source.path

    @property
    def text(self) -> str:
        return self.source.text

    # -- syntax ----------------------------------------------------------------

    @cached_property
    def syntax(self) -> Syntax:
        return parse(self.source.text)

    @cached_property
    def structure(self) -> Structure:
        return read_structure(self.syntax.tree)

    @cached_property
    def resolver(self) -> Resolver:
        return Resolver(self.structure, self.source, self.arguments)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What the Python engine says of the text; see `facts.diagnostics`."""
        if self._diagnostics is None:
            from trainguard.facts.diagnostics import diagnose

            self._diagnostics = tuple(diagnose([self.text], python_version=self.python_version)[0])
        return self._diagnostics

    def set_diagnostics(self, found: Sequence[Diagnostic]) -> None:
        """Takes the result of an engine run over many scripts at once."""
        self._diagnostics = tuple(found)

    def location(
        self, line: int, column: int | None = None, end_line: int | None = None, end_column: int | None = None
    ) -> Location:
        """A place in the text as a user knows it; lines and columns count from 1."""
        return self.source.location(line, column, end_line, end_column)

    def may_contain(self, *words: str) -> bool:
        """Whether a word stands in the part of the text that could not be read as Python.

        A rule about something that is missing asks this before it speaks.
        """
        return any(word in self.syntax.unread for word in words)

    # -- calls and imports -------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """All calls in the order of the text, dead ones too (`call.live` tells)."""
        return self.resolver.calls

    def calls_named(self, *names: str) -> Iterator[Call]:
        """The live calls whose callee's last name, aliases undone, is one of `names`."""
        wanted = frozenset(names)
        return (call for call in self.calls if call.names & wanted and call.live)

    @property
    def imports(self) -> list[Import]:
        return self.structure.imports

    @property
    def handlers(self) -> list[Handler]:
        """The `except` clauses of the script, the first few hundred of a generated one."""
        return self.structure.handlers[:_MAX_HANDLERS]

    def statement_lines(self, line: int) -> range:
        """The lines of the innermost statement that `line` belongs to; for a block its head alone."""
        return self._statements_by_line.get(line, range(line, line + 1))

    @cached_property
    def _statements_by_line(self) -> dict[int, range]:
        found: dict[int, range] = {}
        for node in ast.walk(self.syntax.tree):  # inner statements come after those around them
            if isinstance(node, ast.stmt):
                body = getattr(node, "body", None)
                end = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno or node.lineno
                lines = range(node.lineno, max(end, node.lineno) + 1)
                found.update(dict.fromkeys(lines, lines))
        return found

    # -- training ----------------------------------------------------------------

    @cached_property
    def training(self) -> Training:
        return Training(self.resolver)

    @cached_property
    def persistence(self) -> Persistence:
        return Persistence(self.resolver)

    # -- what surrounds the code ---------------------------------------------------

    @cached_property
    def pep723(self) -> Pep723 | None:
        """The script's inline metadata block (PEP 723)."""
        return read_pep723(self.text) if "# ///" in self.text else None

    @cached_property
    def commands(self) -> tuple[CommandFacts, ...]:
        """Shell commands that the script runs: notebook `!` lines, `os.system`, `subprocess.run`."""
        found = [read_command(line) for _, line in self.source.shell_lines]
        found += [read_command(command) for call in self.calls if (command := shell_command(call)) and call.live]
        return tuple(command for command in found if command is not None)

    @cached_property
    def words(self) -> frozenset[str]:
        """`mentions`, and the words of the command line that the job gives: an option that is set is among them."""
        arguments = " ".join(self.arguments or ())
        return self.mentions | set(_WORD.findall(arguments.replace("-", "_"))) | set(_WORD.findall(arguments))

    @cached_property
    def mentions(self) -> frozenset[str]:
        """All identifiers and dotted words of the text, comments included: a cheap first look."""
        return frozenset(_WORD.findall(self.text))


def read_script(
    text: str,
    *,
    path: str | None = None,
    arguments: Sequence[str] | None = None,
    python_version: str = DEFAULT_PYTHON,
) -> ScriptFacts:
    """The facts of a script given as text. Never raises, whatever the text is."""
    return ScriptFacts(text_source(text, path), arguments=arguments, python_version=python_version)
