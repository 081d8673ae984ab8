"""What the output of a process that ended says: the exceptions that ended it, or its last lines.

A traceback counts where the process ended with it. One that was logged and survived is told by what comes after it: a
loss, or a progress bar that went on. Launchers put prefixes before the lines, which are taken off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

_MOST_LINES = 4_000
_MOST_LENGTH = 4_000  # characters of a line: a row of training data may be printed as one
_GROUP = re.compile(r"^\s*\+-[+-]-+")  # between the exceptions of a group (CPython 3.11, Lib/traceback.py)
# Launchers whose own traceback only says that a child has failed, after what the child itself has printed.
_LAUNCHER = re.compile(r"[/\\](?:accelerate[/\\]commands|deepspeed[/\\]launcher)[/\\]")
_CONTINUED = 8  # lines of an exception's message after the first

# torchrun's and torch's own (torch 2.13, torch/distributed/distributed_c10d.py, `_set_pg_...` excepthook: "[rank0]: "),
# elastic's (distributed/elastic/multiprocessing/tail_log.py: "[trainer0]:"), ray's "(pid=12) ", and the bars of an
# exception group (CPython 3.11, Lib/traceback.py).
_PREFIX = re.compile(
    r"^(?:\[(?:rank|default|trainer|worker)\d+\]:\s?|\((?:\w+ )?pid=\d+[^)]*\)\s|\s*[|+]\s(?=\s|[A-Za-z_]|-))+"
)
# pdsh's and `srun --label`'s, "node2: " and "3: ": taken off where it stands before a traceback too.
_HOST = re.compile(r"^([\w.-]{1,64}: ?)(?:\[rank\d+\]:\s?)?Traceback \(most recent call last\):\s*$")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BEGIN = re.compile(r"^\s*(?:Original |Exception Group )?Traceback \(most recent call last\):\s*$")
_FRAME = re.compile(r'^(?:\s+|> )File "(.*?)", line (\d+)(?:, in (.+))?$')
# rich's, of typer, accelerate and others (rich 14, traceback.py, Traceback.__rich_console__: a panel, then the words).
_PANEL = re.compile(r"^\s*[╭┌+][─-]+ Traceback \(most recent call last\) [─-]+[╮┐+]\s*$")
_PANEL_FRAME = re.compile(r"^\s*[│|] ([^\s❱│|][^│|]*?):(\d+) in (\S+)")
_PANEL_END = re.compile(r"^\s*[╰└+][─-]+[╯┘+]\s*$")
_MOST_PANEL = 2_000  # lines of a panel: a recursion shows some hundred frames
# Printed of a thread, or of an object that is collected: the process goes on, or ended of something else (CPython 3.11,
# Lib/threading.py, ExceptHookArgs; Python/errors.c, _PyErr_WriteUnraisableMsg).
_IGNORED = re.compile(r"^\s*Exception ignored (?:in|on)\b")
_OF_A_THREAD = re.compile(r"^\s*Exception in thread ")
# What the compiler finds has no first line (CPython 3.11, Python/pythonrun.c), and a tail may begin below it.
_OF_THE_COMPILER = frozenset({"SyntaxError", "IndentationError", "TabError"})
_OF_COMPILER_LINES = 12  # its place, the code and the carets beneath
_CUT = 3  # lines at the beginning of what is kept in which a traceback may go on that began before
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?::(?:\s.*)?)?$")
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"
_LOSS = re.compile(r"""^\{?["']?(?:loss|train_loss|eval_loss)["']?\s*[:=]|^\{.*"event":\s*"(?:progress|metrics)\"""")
_BAR = re.compile(r"\d+%\|.*\|\s*(\d+)/(\d+) \[")
# A row of training data that was printed: what it says is no message.
_ROW = re.compile(r"""["'](?:content|role|text|prompt|completion|messages|chosen|rejected|input_ids)["']\s*:""")
_LIBRARY = re.compile(r"site-packages|dist-packages|[/\\]lib[/\\]python\d|^<|[/\\]trainguard[/\\]")


def short_path(path: str) -> str:
    """The last two parts of a path, which are the same on every machine."""
    return "/".join(re.split(r"[/\\]", path)[-2:])


class Frame(Struct, frozen=True):
    """A line of code of a traceback; `function` is "" where that is not told."""

    path: str
    line: int
    function: str = ""

    @property
    def short(self) -> str:
        return f"{short_path(self.path)}:{self.line}"


class Raised(Struct, frozen=True, kw_only=True):
    """An exception as it was printed: `words` is "Type: message", `frames` from the outermost to the innermost."""

    words: str
    frames: tuple[Frame, ...] = ()

    @property
    def type(self) -> str:
        """The type's name without its module."""
        return self.words.split("\n", 1)[0].split(":", 1)[0].strip().rsplit(".", 1)[-1]

    @property
    def frame(self) -> Frame | None:
        """The innermost line that belongs to no installed package, else the innermost of all."""
        own = [each for each in self.frames if not _LIBRARY.search(each.path)]
        return own[-1] if own else self.frames[-1] if self.frames else None

    @property
    def innermost(self) -> Frame | None:
        """The line that raised it."""
        return self.frames[-1] if self.frames else None


class Crash(Struct, frozen=True, kw_only=True):
    """The exception that ended a process first, then those that it came of; `handled` were only being handled."""

    chain: tuple[Raised, ...]
    handled: tuple[Raised, ...] = ()


class _Block(Struct):
    begin: int
    end: int
    raised: Raised
    joins: str = ""  # how the block before it belongs to it: "cause", "context", "inner" or ""


def cleaned(lines: Sequence[str]) -> list[str]:
    """The lines without colours, prefixes of launchers and what a progress bar has overwritten."""
    parts = [part for line in lines[-_MOST_LINES:] for part in str(line)[:_MOST_LENGTH].split("\n")]
    plain = [_ANSI.sub("", part.rstrip("\r\n").rsplit("\r", 1)[-1]) for part in parts[-_MOST_LINES:]]
    hosts = tuple({found[1] for part in plain if (found := _HOST.match(part))})
    return [_cleaned(part, hosts) for part in plain]


def _cleaned(line: str, hosts: tuple[str, ...]) -> str:
    if line.startswith(hosts):
        line = line.removeprefix(next(each for each in hosts if line.startswith(each)))
    return _PREFIX.sub("", line)


def crash_of(lines: Sequence[str]) -> Crash | None:
    """The traceback with which these lines end; None where there is none, or where it was survived."""
    blocks = _blocks(lines)
    if not blocks:
        return None
    blocks = _of_the_process(blocks, lines)
    if not blocks:
        return None
    last = blocks[-1]
    if _went_on(lines[: last.begin], lines[last.end :]):
        return None
    chain, handled, sure = [last.raised], list[Raised](), True
    for block, before in zip(reversed(blocks), reversed(blocks[:-1]), strict=False):
        if not block.joins:
            break
        sure = sure and block.joins != "context"
        (chain if sure else handled).append(before.raised)
    if last.raised.type == "CalledProcessError" and any(_LAUNCHER.search(each.path) for each in last.raised.frames):
        inner = crash_of(lines[: last.begin])
        if inner is not None:
            return inner
    if last.raised.type == "ChildFailedError":
        # torchrun's own words come after those of its children, of which the first that failed is the cause.
        chain += [each.raised for each in blocks[:-1] if each.raised not in chain]
    return Crash(chain=tuple(chain), handled=tuple(handled))


def _of_the_process(blocks: list[_Block], lines: Sequence[str]) -> list[_Block]:
    """Without what was raised where nobody could catch it; without threads' where the main one raised too."""

    def begins(block: _Block, pattern: re.Pattern[str]) -> bool:
        return any(pattern.match(line) for line in lines[max(0, block.begin - 2) : block.begin])

    kept = [each for each in blocks if not begins(each, _IGNORED)]
    main = [each for each in kept if not begins(each, _OF_A_THREAD)]
    return main or kept


def _blocks(lines: Sequence[str]) -> list[_Block]:
    blocks: list[_Block] = []
    at = 0
    while at < len(lines):
        if _BEGIN.match(lines[at]):
            block = _block(lines, at)
        elif _PANEL.match(lines[at]):
            block = _panel(lines, at)
        elif _FRAME.match(lines[at]):
            block = _headless(lines, at)
        else:
            block = None
        if block is None:
            at += 1
            continue
        if blocks:
            block.joins = _join(lines, blocks[-1], block)
        blocks.append(block)
        at = block.end
    return blocks


def _block(lines: Sequence[str], begin: int) -> _Block | None:
    """The traceback that begins here; None without a frame and an exception, as of a text that only looks like one."""
    indent = len(lines[begin]) - len(lines[begin].lstrip())
    frames: list[Frame] = []
    at = begin + 1
    while at < len(lines) and (lines[at].startswith((" " * (indent + 1), "> File ")) or not lines[at].strip()):
        if not lines[at].strip() and not _goes_on(lines, at):
            break
        found = _FRAME.match(lines[at])
        if found is not None and len(found[2]) < 10:
            frames.append(Frame(found[1], int(found[2]), found[3] or ""))
        at += 1
    return _ended_by(lines, begin, at, frames)


def _goes_on(lines: Sequence[str], at: int) -> bool:
    """Whether a traceback goes on after the empty line `at`, as loguru's does (loguru 0.7, _better_exceptions.py)."""
    after = next((line for line in lines[at + 1 : at + 3] if line.strip()), "")
    return bool(_FRAME.match(after)) or bool(re.match(r"^(?:\w+\.)*\w+(?:Error|Exception|Interrupt|Exit)\b", after))


def _panel(lines: Sequence[str], begin: int) -> _Block | None:
    """A traceback as rich draws it."""
    frames: list[Frame] = []
    for at in range(begin + 1, min(len(lines), begin + _MOST_PANEL)):
        if _PANEL_END.match(lines[at]):
            return _ended_by(lines, begin, at + 1, frames)
        found = _PANEL_FRAME.match(lines[at])
        if found is not None and len(found[2]) < 10:
            frames.append(Frame(found[1], int(found[2]), found[3] or ""))
    return None


def _headless(lines: Sequence[str], begin: int) -> _Block | None:
    """A traceback without its first line: the tail begins within it, or the compiler has raised it."""
    frames: list[Frame] = []
    at = begin
    most = len(lines) if begin < _CUT else min(len(lines), begin + _OF_COMPILER_LINES)
    while at < most and lines[at].startswith(" "):
        found = _FRAME.match(lines[at])
        if found is not None and len(found[2]) < 10:
            frames.append(Frame(found[1], int(found[2]), found[3] or ""))
        at += 1
    block = _ended_by(lines, begin, at, frames)
    if block is None or (begin >= _CUT and block.raised.type not in _OF_THE_COMPILER):
        return None
    return block


def _ended_by(lines: Sequence[str], begin: int, at: int, frames: Sequence[Frame]) -> _Block | None:
    """The block whose frames end before line `at`; None where no exception's name stands there."""
    if at >= len(lines) or not frames:
        return None
    first = lines[at].strip()
    if not _EXCEPTION.match(first):
        return None
    words, end = [first], at + 1
    while end < len(lines) and end <= at + _CONTINUED and not _ends_message(lines[end]):
        words.append(lines[end])
        end += 1
    return _Block(begin, end, Raised(words="\n".join(words).rstrip(), frames=tuple(frames)))


def _ends_message(line: str) -> bool:
    return (
        bool(_BEGIN.match(line))
        or line.startswith(("The above exception", "During handling of"))
        or bool(_GROUP.match(line))
        or bool(_LOSS.match(line))
        or is_row(line)
    )


def _join(lines: Sequence[str], before: _Block, block: _Block) -> str:
    between = [line.strip() for line in lines[before.end : block.begin] if line.strip()]
    if _CAUSE in between:
        return "cause"
    if _CONTEXT in between:
        return "context"
    return "inner" if not between and lines[block.begin].lstrip().startswith("Original ") else ""


def _went_on(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether the process trained on after a traceback. A bar is printed once more when its process ends, so that only
    one that has moved tells."""
    if any(_LOSS.match(line) for line in after):
        return True
    moved = max((int(found[1]) for line in after if (found := _BAR.search(line))), default=-1)
    stood = max((int(found[1]) for line in before if (found := _BAR.search(line))), default=-1)
    return stood >= 0 and moved > stood


def last_lines(lines: Sequence[str], count: int = 40) -> list[str]:
    """The last lines that are no rows of data, newest first."""
    return [line for line in reversed(lines) if line.strip() and not is_row(line)][:count]


def is_row(line: str) -> bool:
    """Whether a line looks like an example that was printed."""
    return bool(_ROW.search(line)) or (line.lstrip()[:1] in ("{", "[") and line.rstrip()[-1:] in ("}", "]", ","))
