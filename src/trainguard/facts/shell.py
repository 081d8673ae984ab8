"""Shell text as commands, pipelines and groups: enough of the grammar to see what a job's command does.

A reader of its own, because it has to be linear and exact on what launchers write: tree-sitter-bash 0.25.1 took
131 s for 30,000 piped words and lost the command after `cat <<-EOF | python -`. Nothing is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from trainguard.facts.shell_words import Lexer, Redirect, Word

MAX_CHARACTERS = 1_000_000  # ARG_MAX is 2 MiB on Linux; a longer command would not start
_MAX_DEPTH = 15
_OPENERS = frozenset({"if", "while", "until", "for", "select", "case", "{"})
_CLOSERS = frozenset({"fi", "done", "esac", "}"})
_SKIPPED = frozenset({"then", "elif", "else", "do", "!", "time"})
_REDIRECTS = frozenset({"&>>", "&>", "<<<", "<<-", "<<", ">>", ">|", ">&", "<&", "<>", ">", "<"})


@dataclass(frozen=True, slots=True)
class Simple:
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`( … )`, `{ …; }` or the body of an `if`, a loop or a `case`, all of whose branches are taken."""

    items: tuple[Item, ...]
    redirects: tuple[Redirect, ...]


Command: TypeAlias = Simple | Group


@dataclass(frozen=True, slots=True)
class Item:
    """A pipeline, and the operator that stands between it and the next one."""

    pipeline: tuple[Command, ...]
    followed_by: str


def parse_shell(text: str) -> tuple[tuple[Item, ...], bool]:
    """The pipelines of `text`, in order, and whether all of it was read.

    Never raises; what is malformed is read as far as it goes.
    """
    parser = _Parser(text[:MAX_CHARACTERS])
    items = parser.items(depth=0)
    return items, parser.at >= min(len(text), MAX_CHARACTERS)


class _Parser(Lexer):
    def items(self, depth: int) -> tuple[Item, ...]:
        items: list[Item] = []
        while (token := self.peek()) is not None:
            if token == ")" or (isinstance(token, Word) and token.bare in _CLOSERS):
                self.take()
                if depth:
                    break
                continue
            pipeline = self.pipeline(depth)
            operator = self.peek()
            followed_by = ";"
            if isinstance(operator, str) and operator != ")":
                self.take()
                followed_by = ";" if operator == "\n" else operator
            if pipeline:
                items.append(Item(pipeline, followed_by))
        return tuple(items)

    def pipeline(self, depth: int) -> tuple[Command, ...]:
        commands: list[Command] = []
        while True:
            if (command := self.command(depth)) is not None:
                commands.append(command)
            if self.peek() not in ("|", "|&"):
                return tuple(commands)
            self.take()
            while self.peek() == "\n":
                self.take()

    def command(self, depth: int) -> Command | None:
        token = self.peek()
        while isinstance(token, Word) and token.bare in _SKIPPED:
            self.take()
            token = self.peek()
        opener = token.bare if isinstance(token, Word) else token
        if opener == "(" or (isinstance(token, Word) and opener in _OPENERS):
            self.take()
            if opener in ("for", "select", "case"):
                self.skip_header(stop_at_in=opener == "case")
            if depth >= _MAX_DEPTH:
                return None
            items = self.items(depth + 1)
            return Group(items, self.redirects())
        return self.simple()

    def skip_header(self, *, stop_at_in: bool) -> None:
        """Past `NAME in WORDS` of a loop, or `WORD in` of a case."""
        while (token := self.peek()) is not None:
            if isinstance(token, str) and token in (";", "\n"):
                return
            if isinstance(token, Word) and token.bare == ("in" if stop_at_in else "do"):
                if stop_at_in:
                    self.take()
                return
            self.take()

    def simple(self) -> Simple | None:
        words: list[Word] = []
        redirects: list[Redirect] = []
        while (token := self.peek()) is not None:
            if isinstance(token, Word):
                words.append(self.take_word())
                # Left and right of the cursor nothing but the operator: a file descriptor, as in `2>&1`.
                continue
            if token in _REDIRECTS:
                descriptor = ""
                if words and (last := words[-1].bare) is not None and last.isdigit() and self.glued:
                    descriptor = last
                    words.pop()
                redirects.append(self.redirect(descriptor))
                continue
            if token == "(" and len(words) == 1:  # `name() { … }`: the body stands where it is defined
                self.take()
                if self.peek() == ")":
                    self.take()
                return None
            if token == ")" and words and self.is_case_pattern():
                self.take()
                return None
            break
        return Simple(tuple(words), tuple(redirects)) if words or redirects else None

    def is_case_pattern(self) -> bool:
        """Whether the `)` ahead ends a pattern such as `start)`: then no `(` is open at this place."""
        return self.open_parentheses == 0

    def redirects(self) -> tuple[Redirect, ...]:
        found: list[Redirect] = []
        while isinstance(token := self.peek(), str) and token in _REDIRECTS:
            found.append(self.redirect(""))
        return tuple(found)

    def redirect(self, descriptor: str) -> Redirect:
        operator = self.take()
        assert isinstance(operator, str)
        target = self.take_word() if isinstance(self.peek(), Word) else Word(())
        redirect = Redirect(operator, target, None, descriptor)
        if operator in ("<<", "<<-"):
            self.pending.append(redirect)
        return redirect
