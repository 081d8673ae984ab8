"""What a configuration names: models, tokenizers, data, folders. Looks whether it is there, and opens nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from trainguard.facts.config.judging import nearest
from trainguard.facts.config.model_ids import misspelt
from trainguard.facts.config.node import MAX_PATH
from trainguard.facts.config.records import Named, Reference, Setting

# huggingface_hub 1.x, utils/_validators.py `REPO_ID_REGEX` and `validate_repo_id`.
_REPO_ID = re.compile(r"(?:\b[\w\-.]{1,96}\b/)?\b[\w\-.]{1,96}\b", re.ASCII)
# Repositories without an owner are those that the hub had before it had owners ("canonical" ones); no others are made.
# By families, as their names begin.
_WITHOUT_OWNER = re.compile(
    r"(?:albert-|bert-|camembert|ctrl|distilbert|distilgpt2|distilroberta|gpt2|openai-gpt|roberta-|t5-|transfo-xl|xlm-|"
    r"xlnet-)",
    re.IGNORECASE,
)
_DATA_SUFFIX = re.compile(r"\.(?:jsonl?|ndjson|csv|tsv|parquet|txt|arrow)(?:\.(?:gz|zst))?$", re.IGNORECASE)
_GLOB = re.compile(r"[*?\[\]{}]|://|\$")
_FOLDER_NAMES = frozenset(
    {
        "base",
        "checkpoints",
        "ckpt",
        "ckpts",
        "data",
        "model",
        "models",
        "out",
        "output",
        "outputs",
        "pretrained",
        "weights",
    }
)
_MOST_FILES = 1_000  # of data; a folder of shards is one
_MOST_NAMES = 2_000  # names of a folder that are compared with a misspelt one


def references(settings: Iterable[Setting], folder: Path) -> Named:
    """The things that the settings name; relative paths count from `folder`."""
    by_name = {setting.name: setting for setting in settings if setting.valid}

    def text(name: str) -> str | None:
        setting = by_name.get(name)
        return setting.value if setting is not None and isinstance(setting.value, str) else None

    model, tokenizer, evaluation = text("base_model"), text("tokenizer"), text("eval.data")
    output_dir, inbox = text("output_dir"), text("queue.inbox")
    data = by_name["data"].value if "data" in by_name else None
    names = [data] if isinstance(data, str) else data or []
    return Named(
        base_model=model_reference("base_model", model, folder) if model else None,
        tokenizer=model_reference("tokenizer", tokenizer, folder) if tokenizer else None,
        data=tuple(data_reference("data", name, folder) for name in names[:_MOST_FILES]),
        eval_data=data_reference("eval.data", evaluation, folder) if evaluation else None,
        output_dir=_place(output_dir, folder) if output_dir else None,
        inbox=_place(inbox, folder) if inbox else None,
    )


def model_reference(field: str, given: str, folder: Path) -> Reference:
    """What a name of a model or tokenizer is: a folder, a path where nothing lies, or perhaps an id of the hub."""
    path = _place(given, folder)
    if _exists(path):
        return Reference(field=field, given=given, kind="local", path=path)
    if _GLOB.search(given):
        return Reference(field=field, given=given, kind="hub")
    if is_path(given):
        return _missing(field, given, path, folder, "there is nothing at this path")
    if not _REPO_ID.fullmatch(given) or "--" in given or ".." in given or given.endswith(".git"):
        because = "there is no such folder, and an id of the hub is org/name, of letters, digits, . _ and -"
        return _missing(field, given, path, folder, because)
    if "/" not in given:
        if _WITHOUT_OWNER.match(given):
            return Reference(field=field, given=given, kind="hub")
        because = "there is no such folder, and an id of the hub has an owner: org/name"
        return _missing(field, given, path, folder, because)
    if _means_path(given, path, folder):
        return _missing(field, given, path, folder, "there is nothing at this path")
    near = misspelt(given)
    if near is not None:
        because = "there is no such folder, and on the hub the name is written otherwise"
        return Reference(field=field, given=given, kind="missing", path=path, nearest=near, because=because)
    return Reference(field=field, given=given, kind="hub", nearest=None)


def data_reference(field: str, given: str, folder: Path) -> Reference:
    """What a name of data is; `missing` only where it can be nothing but a path."""
    path = _place(given, folder)
    if _exists(path):
        return Reference(field=field, given=given, kind="local", path=path)
    if _GLOB.search(given) or not (is_path(given) or _DATA_SUFFIX.search(given)):
        return Reference(field=field, given=given, kind="hub")
    return _missing(field, given, path, folder, "there is nothing at this path")


def _means_path(given: str, path: Path, folder: Path) -> bool:
    """Whether a name that could be an id of the hub (`models/small`) is a path all the same.

    It is where such a folder lies in the current folder but not beside the configuration, and where its first part is
    a folder that holds something of nearly the same name, or that is named as folders are and owners are not.
    """
    if folder != Path() and _exists(Path(given)):
        return True
    if not _exists(path.parent):
        return False
    return nearest_file(path) is not None or given.partition("/")[0].casefold() in _FOLDER_NAMES


def is_path(given: str) -> bool:
    """Whether a name can only be a place on a disk: `/x`, `./x`, `~/x`, `a/b/c`, `x\\y`, `C:\\x`."""
    return given.startswith(("/", ".", "~")) or "\\" in given or given.rstrip("/").count("/") > 1 or given.endswith("/")


def _place(given: str, folder: Path) -> Path:
    path = Path(given)
    if given.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:  # no such user
            return folder / path
    return folder / path


def _missing(field: str, given: str, path: Path, folder: Path, because: str) -> Reference:
    near = nearest_file(path)
    here = Path(given)
    if near is None and not path.is_absolute() and folder != Path() and _exists(here):
        try:
            near = os.path.relpath(here, folder)
            because = f"{because}: paths count from the folder of the configuration"
        except (OSError, ValueError):
            near = None
    elif near is not None and folder != Path() and not Path(given).is_absolute() and not given.startswith("~"):
        near = os.path.relpath(near, folder)
    if near is None and not is_path(given):
        near = misspelt(given)
    return Reference(field=field, given=given, kind="missing", path=path, nearest=near, because=because)


def nearest_file(path: Path) -> str | None:
    """What lies near a path where nothing lies: a name that is much alike, in the deepest folder that exists."""
    if len(str(path)) > MAX_PATH:
        return None
    missing = path
    while not _exists(missing.parent):
        if missing.parent == missing:
            return None
        missing = missing.parent
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for _, entry in zip(range(_MOST_NAMES), entries, strict=False)]
    except (OSError, ValueError):
        return None
    folded = {name.casefold(): name for name in sorted(names, reverse=True)}
    close = nearest(missing.name.casefold(), folded)
    if close is None:
        return None
    found = missing.parent / folded[close]
    rest = path.relative_to(missing)
    whole = found / rest
    return str(whole if _exists(whole) else found)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
