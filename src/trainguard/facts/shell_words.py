"""The words of shell text: quotes, expansions, operators and heredocs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

_OPERATOR = re.compile(r"&>>|&>|&&|\|\||\|&|;;&|;;|;&|<<<|<<-|<<|>>|>\||>&|<&|<>|[;&|()<>\n]")
_PLAIN = re.compile(r"[^\s;&|()<>'\"\\$`]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")

_MAX_TOKENS = 50_000  # long commands are long by their heredocs and literals, which are one token each

PieceKind: TypeAlias = Literal["text", "quoted", "variable", "substitution"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a word: text (quoted or not), a variable (with its `${X:-default}`), or `$(…)`."""

    kind: PieceKind
    text: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    pieces: tuple[Piece, ...]

    @property
    def bare(self) -> str | None:
        """The text of a word that has no quotes and no expansions."""
        return self.pieces[0].text if len(self.pieces) == 1 and self.pieces[0].kind == "text" else None


@dataclass(slots=True)
class Redirect:
    """`operator` is the shell's; a heredoc has its `body` here, as pieces to expand or as one quoted piece."""

    operator: str
    target: Word
    body: Word | None = None
    descriptor: str = ""


class Lexer:
    """Tokens of a text, one ahead. An operator is a `str`; everything else is a `Word`. Linear in the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.pending: list[Redirect] = []
        self.lookahead: str | Word | None = None
        self.glued = False  # whether the token ahead follows the one before without a blank
        self.open_parentheses = 0
        self.tokens = 0

    def peek(self) -> str | Word | None:
        if self.lookahead is None:
            self.lookahead = self.read_token()
        return self.lookahead

    def take(self) -> str | Word | None:
        token = self.peek()
        self.lookahead = None
        if token == "(":
            self.open_parentheses += 1
        elif token == ")":
            self.open_parentheses = max(0, self.open_parentheses - 1)
        elif token == "\n" and self.pending:
            for redirect in self.pending:
                redirect.body = self.heredoc(redirect)
            self.pending = []
        return token

    def take_word(self) -> Word:
        word = self.take()
        assert isinstance(word, Word)
        return word

    def read_token(self) -> str | Word | None:
        start = self.at
        self.tokens += 1
        if self.tokens > _MAX_TOKENS:
            return None
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in " \t\r\f\v":
                self.at += 1
            elif self.text.startswith(("\\\n", "\\\r\n"), self.at):
                self.at += 2 if self.text[self.at + 1] == "\n" else 3
            elif character == "#":
                self.at = self.find("\n", self.at)
            else:
                break
        self.glued = self.at == start
        if self.at >= len(self.text):
            return None
        if match := _OPERATOR.match(self.text, self.at):
            self.at = match.end()
            return match.group()
        return self.word()

    def find(self, wanted: str, start: int) -> int:
        position = self.text.find(wanted, start)
        return len(self.text) if position < 0 else position

    def heredoc(self, redirect: Redirect) -> Word:
        delimiter = "".join(piece.text for piece in redirect.target.pieces)
        quoted = any(piece.kind == "quoted" for piece in redirect.target.pieces)
        lines: list[str] = []
        while self.at < len(self.text):
            end = self.find("\n", self.at)
            line = self.text[self.at : end]
            self.at = min(end + 1, len(self.text))
            stripped = line.lstrip("\t") if redirect.operator == "<<-" else line
            if stripped.rstrip("\r") == delimiter:
                break
            lines.append(stripped + "\n")
        body = "".join(lines)
        return Word((Piece("quoted", body),)) if quoted else Lexer(body).expandable()

    # -- words -----------------------------------------------------------------------------------

    def word(self) -> Word:
        pieces: list[Piece] = []
        text = self.text
        while self.at < len(text):
            character = text[self.at]
            if match := _PLAIN.match(text, self.at):
                pieces.append(Piece("text", match.group()))
                self.at = match.end()
            elif character == "'":
                end = self.find("'", self.at + 1)
                pieces.append(Piece("quoted", text[self.at + 1 : end]))
                self.at = end + 1
            elif character == '"':
                self.at += 1
                pieces.append(Piece("quoted", ""))
                pieces += self.double_quoted()
            elif text.startswith("$'", self.at):
                self.at += 2
                pieces.append(self.ansi_quoted())
            elif character in "$`":
                pieces.append(self.expansion())
            elif character == "\\" and self.at + 1 < len(text):
                if text[self.at + 1] != "\n":
                    pieces.append(Piece("quoted", text[self.at + 1]))
                self.at += 2
            elif character == "\\":
                self.at += 1
            else:
                break
        return Word(tuple(pieces))

    def double_quoted(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self.at < len(self.text) and self.text[self.at] != '"':
            pieces.append(self.quoted_piece('"$`\\'))
        self.at += 1
        return pieces

    def expandable(self) -> Word:
        """The whole text as the body of a heredoc whose delimiter is not quoted."""
        pieces: list[Piece] = []
        while self.at < len(self.text):
            pieces.append(self.quoted_piece("$`\\"))
        return Word(tuple(pieces))

    def quoted_piece(self, special: str) -> Piece:
        character = self.text[self.at]
        if character == "\\" and self.at + 1 < len(self.text):
            following = self.text[self.at + 1]
            self.at += 2
            if following == "\n":
                return Piece("quoted", "")
            return Piece("quoted", following if following in special else character + following)
        if character in "$`":
            return self.expansion()
        match = re.compile(rf"[^{re.escape(special)}]+|.", re.DOTALL).match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return Piece("quoted", match.group())

    def ansi_quoted(self) -> Piece:
        end = self.at
        while end < len(self.text) and self.text[end] != "'":
            end += 2 if self.text[end] == "\\" else 1
        raw = self.text[self.at : end]
        self.at = end + 1
        escapes = {"n": "\n", "t": "\t", "r": "\r"}
        return Piece("quoted", re.sub(r"\\(.)", lambda m: escapes.get(m[1], m[1]), raw, flags=re.DOTALL))

    def expansion(self) -> Piece:
        text = self.text
        if text[self.at] == "`":
            end = self.find("`", self.at + 1)
            body = text[self.at + 1 : end]
            self.at = end + 1
            return Piece("substitution", body)
        if text.startswith("$(", self.at):
            return Piece("substitution", self.balanced(self.at + 2, "(", ")"))
        if text.startswith("${", self.at):
            inner = self.balanced(self.at + 2, "{", "}")
            name = _NAME.match(inner)
            _, dash, default = inner.partition(":-") if ":-" in inner else inner.partition("-")
            return Piece("variable", name.group() if name else inner, default if dash else None)
        if match := _NAME.match(text, self.at + 1):
            self.at = match.end()
            return Piece("variable", match.group())
        self.at += 1
        return Piece("text", "$")

    def balanced(self, start: int, opening: str, closing: str) -> str:
        """The text up to the bracket that closes, quotes respected; to the end where nothing closes."""
        depth, position = 1, start
        while position < len(self.text):
            character = self.text[position]
            if character == "\\":
                position += 1
            elif character == "'":
                position = self.find("'", position + 1)
            elif character == opening:
                depth += 1
            elif character == closing:
                depth -= 1
                if not depth:
                    break
            position += 1
        self.at = position + 1
        return self.text[start:position]
