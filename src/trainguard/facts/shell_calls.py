"""Shell commands that Python code runs: `os.system("…")`, `subprocess.run([…])`, `get_ipython().system("…")`."""

from __future__ import annotations

import ast
import re

from trainguard.facts.calls import Call
from trainguard.facts.values import ABSENT, Constant, Items, Symbol, Text, Value, options, text

_RUNNERS = {"run", "call", "check_call", "check_output", "Popen", "getoutput", "getstatusoutput"}
_SHELLS = {"system", "popen", "getoutput", "system_raw", "run_line_magic", "run_cell_magic"}

_INTERPRETER = re.compile(r"^…(?=\s+-m\s)")


def shell_command(call: Call) -> list[str] | str | None:
    """The command that a call runs, as a list of words or one shell line; None if it runs none."""
    name = call.written_name
    if isinstance(call.node.func, ast.Name) and isinstance(call.callee, Symbol):
        name = call.callee.name  # `from subprocess import run as sh`
    if name not in _RUNNERS and name not in _SHELLS:
        return None
    package = call.package or ""
    if name in _RUNNERS and package != "subprocess":
        return None
    if name in _SHELLS and package not in ("os", "subprocess") and "get_ipython" not in _maker_names(call):
        return None
    command = call.argument("args", 0)
    return _words(command)


def _maker_names(call: Call) -> set[str]:
    return {name for maker in call.receiver_calls for name in maker.names}


def _words(command: Value) -> list[str] | str | None:
    if command is ABSENT:
        return None
    if isinstance(command, Items):
        return [_word(item) for item in command.items] or None
    known = text(command)
    if known is not None:
        return known
    if not isinstance(command, Text):
        return None
    line = "".join(part or "…" for part in command.parts)
    return _INTERPRETER.sub("python", line)  # f"{sys.executable} -m pip install …"


def _word(item: Value) -> str:
    """A word of a command; what cannot be told stands as an ellipsis, so that its place is kept."""
    for option in options(item):
        if isinstance(option, Constant) and isinstance(option.value, str):
            return option.value
        if isinstance(option, Symbol) and option.path == "sys.executable":
            return "python"
    return "…"
