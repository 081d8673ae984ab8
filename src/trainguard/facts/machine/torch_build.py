"""The installed torch: for which CUDA it was built, from its files; and what it sees, in a child process."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from trainguard.facts.machine.child import ask_child
from trainguard.facts.machine.records import TorchFacts

# Importing torch takes 2 to 20 s from a cold disk, the first CUDA context up to 10 s on a machine of eight GPUs.
DEADLINE_SECONDS = 60.0

_PROBE = Path(__file__).with_name("_torch_probe.py")
_MAX_BYTES = 64 * 1024


def read_torch(*, ask: bool, deadline_seconds: float = DEADLINE_SECONDS) -> TorchFacts | None:
    """The torch of this environment, None where there is none. With `ask`, it counts its devices in a child."""
    file = _version_file()
    values = _literals(file) if file is not None else {}
    version = values.get("__version__")
    if not isinstance(version, str):
        return None
    cuda, hip = _pair(values.get("cuda")), isinstance(values.get("hip"), str)
    if not ask:
        return TorchFacts(version=version, cuda=cuda, hip=hip)
    answer = ask_child(_PROBE, {}, deadline_seconds=deadline_seconds, isolated=False)
    return TorchFacts(
        version=version,
        cuda=cuda,
        hip=hip,
        sees=answer.values.get("sees"),
        problem=answer.values.get("problem") or answer.failed,
        timed_out=answer.timed_out and bool(answer.values.get("started")),
    )


def _version_file() -> Path | None:
    try:
        spec = importlib.util.find_spec("torch")  # of a top-level package: found, not imported
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        file = Path(folder) / "version.py"
        if file.is_file():
            return file
    return None


def _literals(file: Path) -> dict[str, object]:
    """The names that a file gives a literal: torch's build writes version.py (tools/generate_torch_version.py)."""
    try:
        tree = ast.parse(file.read_bytes()[:_MAX_BYTES])
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, object] = {}
    for statement in tree.body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else None
        target = statement.target if isinstance(statement, ast.AnnAssign) else target
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            found[target.id] = value.value
    return found


def _pair(text: object) -> tuple[int, int] | None:
    parts = text.split(".") if isinstance(text, str) else []
    return (int(parts[0]), int(parts[1])) if len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit() else None
