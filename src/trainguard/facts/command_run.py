"""A dry reading of a command: variables, files and pipes followed as far as their text is known."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trainguard.facts.installs import read_install
from trainguard.facts.known_text import decode_base64, decode_call, printf_text, written_file
from trainguard.facts.launches import Launch, is_python, program_name, read_launch
from trainguard.facts.requirements import Requirement
from trainguard.facts.shell import MAX_CHARACTERS, Command, Group, Item, Simple, parse_shell
from trainguard.facts.shell_words import Redirect, Word
from trainguard.facts.wrappers import ASSIGNMENT, unwrap

_MAX_DEPTH = 6
_MAX_COMMANDS = 3000
_MAX_WRAPPERS = 10
_MAX_WORDS = 20_000
_MAX_EXPANDED_CHARACTERS = 20_000_000  # of all words together: `A=$A$A` doubles with every line
# Tools whose start tells nothing about the job.
_NO_LAUNCH = frozenset({"apt", "apt-get", "awk", "base64", "basename", "cat", "cmake", "date", "df", "dirname", "du",
                        "eval", "find", "free", "grep", "gunzip", "gzip", "head", "kill", "ln", "ls", "make", "mktemp",
                        "nproc", "nvidia-smi", "printf", "ps", "pwd", "read", "sed", "seq", "sha256sum", "sort", "tail",
                        "tar", "tee", "tr", "type", "uname", "unzip", "wc", "which", "whoami", "xargs",
                        "yes"})  # fmt: skip
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "ash", "ksh"})
_SILENT = frozenset({"cd", "set", "export", "mkdir", "rm", "touch", "chmod", "true", ":", "sleep", "ulimit", "trap",
                     "wait", "shopt", "unset", "exit", "pushd", "popd", "source", ".", "test", "[", "[[", "mv", "cp",
                     "declare", "local", "readonly", "return", "continue", "break", "shift"})  # fmt: skip


class Run:
    """Follows one command. Its public attributes are what was found; nothing is executed."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.variables = dict(env)
        self.assigned: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.launches: list[Launch] = []
        self.installs: list[Requirement] = []
        self.unknown_installs: list[str] = []
        self.downloads: list[str] = []
        self.clones: list[str] = []
        self.uploads = False
        self.logs_in = False
        self.complete = True
        self.commands_left = _MAX_COMMANDS
        self.characters_left = _MAX_EXPANDED_CHARACTERS
        self.depth = 0

    def text(self, text: str, stdin: str | None = None) -> str | None:
        """Follow shell text; the text it prints, None where that cannot be told."""
        if self.depth >= _MAX_DEPTH:
            self.complete = False
            return None
        self.depth += 1
        try:
            items, complete = parse_shell(text)
            self.complete &= complete
            return self._items(items, stdin)
        finally:
            self.depth -= 1

    def words(self, words: Sequence[str], stdin: str | None = None, *, ignored: bool = False) -> str | None:
        """Follow one program and its arguments."""
        self.commands_left -= 1
        if self.commands_left < 0:
            self.complete = False
            return None
        words = self._take_assignments(list(words[:_MAX_WORDS]))
        if not words:
            return ""
        for _ in range(_MAX_WRAPPERS):
            if (unwrapped := self._unwrap(words)) is None:
                break
            words = self._take_assignments(unwrapped)
            if not words:
                return ""
        name = program_name(words[0])
        printed = self._builtin(name, words[1:], stdin)
        if printed is not None or name in _SILENT:
            return "" if printed is None else printed
        if name in _SHELLS:
            return self._shell(words, stdin, ignored)
        if self._is_bookkeeping(name, words):
            return None
        self._launch(words, stdin, ignored)
        return None

    # -- structure -------------------------------------------------------------------------------

    def _items(self, items: Sequence[Item], stdin: str | None) -> str | None:
        printed: list[str] = []
        known = True
        for position, item in enumerate(items):
            ignored = item.followed_by == "||" and _goes_on(items[position + 1 : position + 2])
            output = stdin
            for command in item.pipeline:
                output = self._command(command, output, ignored)
            known = known and output is not None
            printed.append(output or "")
        return "".join(printed)[:MAX_CHARACTERS] if known else None

    def _command(self, command: Command, stdin: str | None, ignored: bool) -> str | None:
        for redirect in command.redirects:
            stdin = self._input(redirect, stdin)
        if isinstance(command, Group):
            output = self._items(command.items, stdin)
        else:
            output = self._simple(command, stdin, ignored)
        for redirect in command.redirects:
            output = self._output(redirect, output)
        return output

    def _simple(self, command: Simple, stdin: str | None, ignored: bool) -> str | None:
        words: list[str] = []
        for word in command.words:
            text = self._expand(word)
            # An unquoted variable of several words (`$UV_ARGS`) is several words.
            if len(word.pieces) == 1 and word.pieces[0].kind == "variable":
                words += text.split()
            else:
                words.append(text)
        return self.words(words, stdin, ignored=ignored) if words else ""

    def _expand(self, word: Word) -> str:
        parts: list[str] = []
        for piece in word.pieces:
            if piece.kind == "variable":
                known = self.variables.get(piece.text) or piece.default
                parts.append(f"${piece.text}" if known is None else known)
            elif piece.kind == "substitution":
                printed = None if piece.text.startswith("(") else self.text(piece.text)
                parts.append(f"$({piece.text})" if printed is None else printed.rstrip("\n"))
            else:
                parts.append(piece.text)
        text = "".join(parts)[:MAX_CHARACTERS]
        self.characters_left -= len(text)
        if self.characters_left < 0:
            self.complete = False
            return ""
        return text

    def _input(self, redirect: Redirect, stdin: str | None) -> str | None:
        if redirect.operator in ("<<", "<<-"):
            return self._expand(redirect.body) if redirect.body is not None else ""
        if redirect.operator == "<<<":
            return self._expand(redirect.target) + "\n"
        if redirect.operator == "<":
            return self._file(self._expand(redirect.target))
        return stdin

    def _output(self, redirect: Redirect, output: str | None) -> str | None:
        if redirect.operator not in (">", ">>", ">|", "&>", "&>>") or redirect.descriptor not in ("", "1"):
            return output
        self._write(self._expand(redirect.target), output, append=">>" in redirect.operator)
        return ""

    def _write(self, path: str, text: str | None, *, append: bool) -> None:
        name = posixpath.normpath(path) if path else path
        if not name or name.startswith("/dev/"):
            return
        if text is None:
            self.files.pop(name, None)
        else:
            self.files[name] = ((self.files.get(name, "") if append else "") + text)[:MAX_CHARACTERS]

    def _file(self, path: str) -> str | None:
        name = posixpath.normpath(path)
        if name in self.files:
            return self.files[name]
        base = posixpath.basename(name)  # `cd work && python train.py` after `cat > work/train.py`
        return next((text for known, text in self.files.items() if posixpath.basename(known) == base), None)

    # -- programs --------------------------------------------------------------------------------

    def _take_assignments(self, words: list[str]) -> list[str]:
        start = 0
        while start < len(words) and (match := ASSIGNMENT.match(words[start])):
            self._assign(match[1], words[start][match.end() :])
            start += 1
        return words[start:]

    def _assign(self, name: str, value: str) -> None:
        self.variables[name] = value
        self.assigned[name] = value

    def _unwrap(self, words: list[str]) -> list[str] | None:
        unwrapped = unwrap(words)
        if unwrapped is None:
            return None
        for assignment in unwrapped.assignments:
            self._take_assignments([assignment])
        for arguments in unwrapped.installs:
            self._install(arguments)
        return unwrapped.words

    def _builtin(self, name: str, arguments: list[str], stdin: str | None) -> str | None:
        """What a program prints whose output is known from its words; None for all others."""
        if name == "echo":
            while arguments and re.fullmatch(r"-[neE]+", arguments[0]):
                arguments = arguments[1:]
            return " ".join(arguments) + "\n"
        if name == "printf" and arguments:
            return printf_text(arguments)
        if name == "cat":
            texts = [stdin if path == "-" else self._file(path) for path in arguments] if arguments else [stdin]
            return None if any(text is None for text in texts) else "".join(text or "" for text in texts)
        if name == "tee":
            for path in arguments:
                if not path.startswith("-"):
                    self._write(path, stdin, append="-a" in arguments)
            return stdin
        if name == "base64" and {"-d", "--decode", "-D", "-di"} & set(arguments):
            paths = [word for word in arguments if not word.startswith("-")]
            return decode_base64(self._file(paths[0]) if paths else stdin)
        if name in ("export", "declare", "readonly", "local"):
            for word in arguments:
                if match := ASSIGNMENT.match(word):
                    self._assign(match[1], word[match.end() :])
            return ""
        return None

    def _shell(self, words: list[str], stdin: str | None, ignored: bool) -> str | None:
        for position, word in enumerate(words[1:], 1):
            if re.fullmatch(r"-[a-z]*c", word):
                return self.text(words[position + 1], stdin) if position + 1 < len(words) else ""
            if word in ("-o", "+o", "-O", "+O") or words[position - 1] in ("-o", "+o", "-O", "+O"):
                continue
            if not word.startswith(("-", "+")):
                text = self._file(word)
                if text is not None:
                    return self.text(text)
                break
        else:
            return self.text(stdin) if stdin is not None else None
        self.launches.append(read_launch(words, failure_ignored=ignored))
        return None

    def _is_bookkeeping(self, name: str, words: list[str]) -> bool:
        """Installations, downloads and hub commands: noted, and no launch."""
        rest = words[1:]
        if is_python(name) and rest[:2] in (["-m", "pip"], ["-m", "uv"]):
            name, rest = rest[1], rest[2:]
        if re.fullmatch(r"pip[0-9.]*", name) or (name == "uv" and rest[:1] == ["pip"]):
            self._install(rest if name != "uv" else rest[1:])
        elif name == "uv" and rest[:1] in (["add"], ["sync"], ["tool"]):
            self._install(["install", *rest[1:]] if rest[0] == "add" else ["install", "-r", " ".join(rest)])
        elif name in ("conda", "mamba", "micromamba"):
            self.unknown_installs.append(" ".join(words)[:200])
        elif name in ("wget", "curl"):
            self.downloads += [word for word in rest if "://" in word]
        elif name == "git":
            self.clones += [word for word in rest if "clone" in rest and ("://" in word or word.startswith("git@"))]
        elif name in ("hf", "huggingface-cli"):
            self.uploads |= any(word in ("upload", "upload-large-folder", "sync") for word in rest[:3])
            self.logs_in |= "login" in rest[:2]
        else:
            return name in _NO_LAUNCH
        return True

    def _install(self, arguments: Sequence[str]) -> None:
        known, unknown = read_install(arguments, self._file)
        self.installs += known
        self.unknown_installs += unknown

    def _launch(self, words: list[str], stdin: str | None, ignored: bool) -> None:
        launch = read_launch(words, failure_ignored=ignored)
        source = launch.inline_source
        if launch.reads_stdin:
            source = stdin
        elif launch.script_path is not None:
            source = self._file(launch.script_path)
        elif source is not None and (decoded := decode_call(source)) is not None:
            if (path := written_file(source)) is not None:
                self._write(path, decoded, append=False)
            elif "exec" in source:
                source = decoded
        self.launches.append(replace(launch, inline_source=source))


def _goes_on(following: Sequence[Item]) -> bool:
    """Whether what stands right of `||` lets the command go on as a success."""
    if not following or not following[0].pipeline:
        return False
    command = following[0].pipeline[0]
    if not isinstance(command, Simple) or not command.words:
        return False
    words = [word.bare for word in command.words]
    return words[0] in ("true", ":", "echo", "printf") or words[:2] == ["exit", "0"]
