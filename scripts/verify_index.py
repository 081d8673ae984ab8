"""Compares the index of interfaces with the training libraries themselves, as `inspect.signature` sees them.

    python scripts/verify_index.py [--python PATH | --build REQUIREMENT...] [--index FILE] [--list]

For every public callable, constructor, dataclass and method of the installed libraries: the names of its parameters,
their order, their kinds, whether they are required, and the defaults that are literals. Each name that a module has
at run time must be known to the index too, since API001 calls a name that is not there an error. Prints a table and
every difference; exit code 1 if there is one, 2 if nothing could be compared.

Where `inspect.signature` sees only the `*args, **kwargs` of a wrapper, a metaclass or `__new__`, what stands behind it
counts as well. What the index does not want to tell (a signature that a decorator made up, an unknown base class) is
counted as "untold" and listed with `--list`; stand-ins for missing backends and what cannot be imported are counted
and named.

The libraries are those of this interpreter, of another one (`--python`), or of an environment that is built for the
purpose, once, under `--folder` (`--build transformers==4.46.3 trl==0.12.2`).
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROBE = Path(__file__).with_name("runtime_signatures.py")
LIBRARIES = ("transformers", "trl", "peft", "accelerate", "datasets", "huggingface_hub")
_KINDS = ("positional only", "positional or keyword", "*", "keyword only", "**")
# Stand-ins that do not say so: `*args, **kwargs`, and ImportError when called (huggingface_hub 0.20 to 2.4).
_STAND_INS = {"huggingface_hub.WebhooksServer": "gradio"}
# What the lazy table lists among the stand-ins where a backend is missing, and only there.
_WITH_STAND_INS = {"transformers.DummyObject", "transformers.requires_backends"}
# What a `with` at the top level of a module has left there, which is nobody's interface.
_LEFT_OVER = {"transformers.utils.hub.f"}


@dataclass(slots=True)
class Tally:
    """What came out for one library."""

    version: str = ""
    compared: int = 0
    differences: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    names: int = 0
    dummies: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)


def main() -> int:
    """0 all agree; 1 something differs; 2 nothing was compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="whose libraries (default: this one)")
    parser.add_argument("--build", nargs="+", metavar="REQUIREMENT", help="build an environment that has these")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "environments", help="where to build it")
    parser.add_argument("--signatures", type=Path, metavar="FILE", help="what runtime_signatures.py has printed")
    parser.add_argument("--index", type=Path, metavar="FILE", help="default: the index that ships")
    parser.add_argument("--list", action="store_true", help="list what the index does not tell, and what is refused")
    options = parser.parse_args()
    python = options.python
    if options.build:
        from training_environments import environment

        python = environment(options.folder, tuple(options.build))
    lines = recorded(options.signatures) if options.signatures else runtime(python)
    tallies = compare(lines, index_of(options.index))
    print("\n".join(table(tallies)))
    for tally in tallies.values():
        for difference in tally.differences:
            print(difference)
        for line in [*(f"untold: {path}" for path in tally.untold), *tally.refused] if options.list else []:
            print(line)
    if not any(tally.compared for tally in tallies.values()):
        print("nothing was compared: are the libraries installed, and are these releases indexed?", file=sys.stderr)
        return 2
    return 1 if any(tally.differences for tally in tallies.values()) else 0


def runtime(python: Path) -> Iterator[dict[str, Any]]:
    """What the libraries of an interpreter say of themselves."""
    command = [str(python), str(PROBE), *LIBRARIES]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield json.loads(line)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


def recorded(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def index_of(path: Path | None) -> Any:
    from trainguard.libraries.api.index import BUNDLED, Index
    from trainguard.libraries.api.store import Store

    return Index([Store.open(path or BUNDLED)])


def compare(lines: Iterable[dict[str, Any]], index: Any) -> dict[str, Tally]:
    """The tallies by library."""
    from trainguard.libraries.api.query import Interfaces, Missing
    from trainguard.libraries.api.signatures import Signatures

    held = list(lines)
    tallies = {library: Tally() for library in LIBRARIES}
    for line in held:
        if line["what"] == "version":
            tallies[line["library"]].version = line["version"]
    interfaces = Interfaces(index, {library: tally.version for library, tally in tallies.items()})
    signatures = Signatures(interfaces)
    for line in held:
        library = str(line.get("path", line.get("library"))).partition(".")[0]
        tally = tallies[library]
        if line["what"] == "refused":
            tally.refused.append(f"cannot be imported: {line['path']}: {line['error']}")
        elif line["what"] == "dummy":
            tally.dummies[" ".join(sorted(line["backends"])) or "unnamed"] += 1
        elif line["what"] == "callable" and line["path"] in _STAND_INS and len(line["parameters"]) == 2:
            tally.dummies[_STAND_INS[line["path"]]] += 1
        elif interfaces.version(library) is None:
            continue
        elif line["what"] == "module":
            tally.names += len(line["names"])
            for name in line["names"]:
                path = f"{line['path']}.{name}"
                if path not in _WITH_STAND_INS | _LEFT_OVER and isinstance(interfaces.find(path), Missing):
                    tally.differences.append(f"{path}: is there at run time, missing in the index")
        elif line["what"] == "callable":
            told = signatures.of(line["path"])
            if told is None:
                tally.untold.append(line["path"])
                continue
            tally.compared += 1
            indexed = [(p.name, p.kind, p.default) for p in told.parameters]
            ways = [line["parameters"], *line["behind"]]
            wrong = [difference(indexed, [tuple(parameter) for parameter in way]) for way in ways]
            if all(wrong):
                tally.differences.append(f"{line['path']}: {wrong[0]}")
    return tallies


def difference(indexed: list[tuple[str, int, str | None]], real: list[tuple[Any, ...]]) -> str:
    """What differs first between two lists of parameters; empty where they agree."""
    ours, theirs = [name for name, _, _ in indexed], [name for name, _, _ in real]
    if ours != theirs:
        lacking, extra = [n for n in theirs if n not in ours], [n for n in ours if n not in theirs]
        if lacking or extra:
            return f"the index lacks {lacking}, has too many {extra}"
        return f"the order is {theirs}, in the index {ours}"
    for (name, kind, default), (_, real_kind, real_default) in zip(indexed, real, strict=True):
        if kind != real_kind:
            return f"{name} is {_KINDS[real_kind]}, in the index {_KINDS[kind]}"
        if kind in (2, 4):
            continue
        if (default is None) != (real_default is None):
            return f"{name} is {'required' if real_default is None else 'optional'}, in the index it is not"
        if default is not None and not agrees(default, real_default):
            return f"the default of {name} is {real_default[1]}, in the index {default}"
    return ""


def agrees(source: str, real: list[str]) -> bool:
    """Whether the source of a default can be the value at run time. What is not written as a literal counts as so."""
    if source == "...":
        return True  # a long one, of which the index says only that there is one
    try:
        value = ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return True
    return real[0] == "factory" or (real[0] == "literal" and repr(value) == real[1])


def table(tallies: dict[str, Tally]) -> Iterator[str]:
    yield "| library | version | callables compared | differ | untold | names | stand-ins | cannot be imported |"
    yield "|---|---|---|---|---|---|---|---|"
    for library, tally in tallies.items():
        dummies = ", ".join(f"{count} for {backend}" for backend, count in sorted(tally.dummies.items())) or "0"
        cells = (tally.compared, len(tally.differences), len(tally.untold), tally.names, dummies, len(tally.refused))
        yield f"| {library} | {tally.version or 'not installed'} | " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
