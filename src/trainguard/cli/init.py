"""`trainguard init`: writes a commented starter after looking at the machine, the model and the data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trainguard.cli.output import write
from trainguard.errors import UsageError
from trainguard.findings import EXIT_CLEAN

if TYPE_CHECKING:
    from trainguard.cli.starter import Seen

_PATH = click.Path(path_type=Path)
_Value = TypeVar("_Value")


@click.command("init", short_help="Write a commented configuration for this machine, model and data.")
@click.option("--output", type=_PATH, default=Path("trainguard.toml"), metavar="FILE", help="The file to write.")
@click.option("--model", metavar="DIR", help="The model to start from: a folder, or an id of the hub.")
@click.option("--data", type=_PATH, multiple=True, metavar="FILE", help="Training data; may be given several times.")
@click.option("--eval", "eval_path", type=_PATH, metavar="FILE", help="Evaluation data.")
@click.option("--method", type=click.Choice(("full", "lora", "qlora")), help="What to train; chosen by size otherwise.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--print", "only_print", is_flag=True, help="Print it, and write no file.")
def command(
    output: Path,
    model: str | None,
    data: tuple[Path, ...],
    eval_path: Path | None,
    method: str | None,
    force: bool,
    only_print: bool,
) -> int:
    """Write a configuration to start from, with the reason beside every value.

    Looks at the machine's cores, memory and GPUs, at the sizes of the model and at the lengths of the data. Nothing is
    loaded, and no file is replaced unless you say so.

    \b
    Examples:
      trainguard init
      trainguard init --model models/Qwen3-0.6B --data train.jsonl
      trainguard init --model Qwen/Qwen3-0.6B --data train.jsonl --method lora --output run.toml
    """
    from trainguard.cli.starter import starter

    if output.suffix.lower() != ".toml":
        raise UsageError(
            f"--output {output}: a starter is written in TOML, for its comments; name it {output.stem}.toml"
        )
    if not only_print and not force and os.path.lexists(output):
        raise UsageError(f"{output} is there already; take another --output, or --force to replace it")
    try:
        text = starter(look(output.parent, model=model, data=data, eval_path=eval_path, method=method))
    except ValueError as error:
        raise UsageError(f"a name cannot be written in TOML: {error}") from None
    if only_print:
        write(text)
        return EXIT_CLEAN
    _write(output, text, force=force)
    write(f"{output} is written. Look at it, then: trainguard check {output}\n")
    return EXIT_CLEAN


def look(
    folder: Path, *, model: str | None, data: tuple[Path, ...], eval_path: Path | None, method: str | None
) -> Seen:
    """What there is. `folder` is where the configuration will stand; names are made relative to it.

    Raises UsageError for a model or data that is not there.
    """
    from dataclasses import replace

    from trainguard.cli.starter import Seen

    seen = Seen(method=method, **_machine(folder))
    tokenizer: Path | None = None
    if model is not None:
        about, tokenizer = _model(model, folder)
        seen = replace(seen, **about)
    for path in (*data, *([eval_path] if eval_path else [])):
        if not path.exists():
            raise UsageError(f"{path}: there is no such file or folder")
    if data:
        names = tuple(_relative(path, folder) for path in data)
        seen = replace(seen, data=names, **_data(data, tokenizer))
    if eval_path is not None:
        seen = replace(seen, eval_data=_relative(eval_path, folder))
    return seen


def _machine(folder: Path) -> dict[str, Any]:
    from trainguard.facts.machine.reading import read_machine

    machine = _tried(lambda: read_machine(folder=folder))
    if machine is None:
        return {}
    gpus = machine.gpus
    found: dict[str, Any] = {"cores": machine.cores, "memory_bytes": machine.memory.total_bytes}
    if machine.memory.limit_bytes is not None:
        sizes = [size for size in (machine.memory.total_bytes, machine.memory.limit_bytes) if size is not None]
        found["memory_bytes"] = min(sizes)
    if gpus:
        smallest = min(gpus, key=lambda gpu: gpu.total_bytes or 0)
        capabilities = [gpu.capability for gpu in gpus if gpu.capability is not None]
        found |= {
            "gpus": len(gpus),
            "gpu_name": smallest.name or "",
            "gpu_bytes": smallest.total_bytes,
            "capability": min(capabilities, default=None),
        }
    elif gpus is not None and not machine.accelerators:
        found["gpus"] = 0
    return found


def _model(model: str, folder: Path) -> tuple[dict[str, Any], Path | None]:
    from trainguard.facts.config.references import is_path
    from trainguard.facts.model.reading import read_model
    from trainguard.rules.config.max_length_too_large import positions_of

    path = Path(model).expanduser()
    if not path.exists():
        if is_path(model) or "/" not in model:
            raise UsageError(f"--model {model}: there is no such folder, and an id of the hub is org/name")
        return {"model": model}, None
    name = _relative(path, folder)
    facts = _tried(lambda: read_model(path))
    if facts is None:
        return {"model": name}, path
    vocabulary = facts.embedding[1] if facts.embedding else facts.config.vocab_size if facts.config else None
    return {
        "model": name,
        "parameters": sum(each.elements for each in facts.tensors.values()) if facts.tensors else None,
        "vocabulary": vocabulary,
        "positions": positions_of(facts.config) if facts.config is not None else None,
        "is_adapter": facts.adapter is not None,
    }, path


def _data(paths: tuple[Path, ...], tokenizer: Path | None) -> dict[str, Any]:
    from trainguard.facts.data.reading import read_data

    has_tokenizer = tokenizer is not None and (tokenizer / "tokenizer.json").is_file()
    rows, lengths = 0, []
    for path in paths:
        facts = _tried(lambda path=path: read_data(path, tokenizer=tokenizer if has_tokenizer else None, lengths=True))  # type: ignore[misc]
        if facts is None:
            return {}
        rows += facts.rows
        lengths += [facts.lengths] if facts.lengths is not None else []
    if not lengths:
        return {"rows": rows}
    return {
        "rows": rows,
        "shortest": min(each.shortest for each in lengths),
        "length_99": max(each.percentiles.get(99, each.longest) for each in lengths),
        "longest": max(each.longest for each in lengths),
        "lengths_exact": all(each.exact for each in lengths),
    }


def _tried(read: Callable[[], _Value]) -> _Value | None:
    """A reading that fails says nothing: a starter can be written all the same, and `check` tells what is wrong."""
    try:
        return read()
    except Exception:
        return None


def _relative(path: Path, folder: Path) -> str:
    """The path as the configuration in `folder` has to name it."""
    if path.is_absolute():
        return str(path)
    try:
        name = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return str(path.absolute())
    return Path(name).as_posix()


def _write(output: Path, text: str, *, force: bool) -> None:
    """Writes the file whole or not at all. Raises UsageError where it is there or cannot be written."""
    handle: int | None = None
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        if force:
            os.replace(temporary, output)
        else:
            _put(temporary, output, text)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, FileExistsError):
            raise UsageError(f"{output} is there already; take another --output, or --force to replace it") from None
        raise UsageError(f"--output {output}: cannot be written: {error.strerror or error}") from None


def _put(temporary: str, output: Path, text: str) -> None:
    """Gives the file its name where nothing has it by now; a rename would replace it."""
    try:
        os.link(temporary, output)
    except FileExistsError:
        raise
    except OSError:  # a file system without links, such as FAT
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    os.unlink(temporary)
