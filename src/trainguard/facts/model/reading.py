"""Reads a folder with a model, a tokenizer or an adapter: names, headers and small files; with `deep`, every byte."""

from __future__ import annotations

import contextlib
import importlib.util
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainguard.facts.model import adapter as adapters
from trainguard.facts.model.config_file import read_config
from trainguard.facts.model.folder import Listing, is_hub_id, list_folder, nearest_existing
from trainguard.facts.model.json_files import read_object
from trainguard.facts.model.left_out import left_out
from trainguard.facts.model.records import Escape, LeftOut, ModelConfig, ModelFacts, TokenizerFacts
from trainguard.facts.model.tokenizer_files import read_tokenizer
from trainguard.facts.model.values import bad_values
from trainguard.facts.model.weight_files import (
    FolderWeights,
    all_tensors,
    index_mismatches,
    read_folder_weights,
    read_weights,
)
from trainguard.facts.weights.files import UnsoundError, why_unreadable
from trainguard.facts.weights.records import TensorEntry

Progress = Callable[[int, int], None]
_CONFIG, _GENERATION = "config.json", "generation_config.json"
# Embeddings of tokens by the last names of their modules (transformers 5.23, `get_input_embeddings` of its models).
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "shared")
# Tokens that end a turn of a chat. A model that stops at one has learned to chat.
_CHAT_STOPS = frozenset(
    {"<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|eot|>", "<|end_of_turn|>", "<turn|>", "<|return|>"}
)
_UNFINISHED = (".incomplete", ".part", ".aria2", ".crdownload")


def read_model(
    path: Path, *, base: Path | None = None, deep: bool = False, on_progress: Progress | None = None
) -> ModelFacts:
    """Reads what lies at `path`; what is wrong with it is in the facts. `base` is what an adapter was trained on.

    `deep` reads the numbers of all tensors too, and calls `on_progress` with the bytes read and those in all.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        missing = not isinstance(error, PermissionError)
        return ModelFacts(
            path=path,
            exists=False,
            nearest=nearest_existing(path) if missing else None,
            hub_id=is_hub_id(str(path)),
            unreadable=None if missing else "it cannot be read (permission denied)",
        )
    if stat.S_ISREG(mode):
        return _file(path, deep=deep, on_progress=on_progress)
    if not stat.S_ISDIR(mode):
        return ModelFacts(path=path, is_file=True, unreadable="it is neither a folder nor a regular file")
    try:
        listing = list_folder(path)
    except OSError as error:
        return ModelFacts(path=path, unreadable=why_unreadable(error))
    return _folder(path, listing, base=base, deep=deep, on_progress=on_progress)


def _file(path: Path, *, deep: bool, on_progress: Progress | None) -> ModelFacts:
    if path.name.endswith(".gguf"):
        return ModelFacts(path=path, is_file=True, notes=("GGUF files are not looked into",))
    weights = read_weights(path)
    sound = [weights] if weights.format == "safetensors" and weights.ok else []
    is_adapter = any(".lora_" in name for name in weights.tensors or ())
    return ModelFacts(
        path=path,
        is_file=True,
        files=(path.name,),
        weights=(weights,),
        tensors=weights.tensors if weights.ok else None,
        bad_values=bad_values(sound, deep=deep, adapter=is_adapter, on_progress=on_progress),
        deep=deep,
    )


def _folder(path: Path, listing: Listing, *, base: Path | None, deep: bool, on_progress: Progress | None) -> ModelFacts:
    files = listing.files
    linked = {escape.named_in for escape in listing.escapes}
    is_adapter = adapters.CONFIG_FILE in files
    weights = read_folder_weights(path, files, adapters.WEIGHT_FILES if is_adapter else ())
    tensors = all_tensors(weights)
    config = read_config(path / _CONFIG) if _CONFIG in files else None
    tokenizer = read_tokenizer(path, files, listing.folders)
    base_facts = read_model(base) if base is not None else None
    sound = [file for file in weights.loaded if file.format == "safetensors" and file.ok]
    bad = bad_values(sound, deep=deep, adapter=is_adapter, on_progress=on_progress)
    adapter = adapters.read_adapter(path, _adapter_tensors(weights), base_facts) if is_adapter else None
    return ModelFacts(
        path=path,
        empty=listing.empty,
        files=files,
        config=config,
        chat_stop_tokens=_chat_stops(path, files, tokenizer),
        weights=weights.loaded,
        other_pickles=weights.pickles,
        tensors=tensors,
        index=weights.index,
        missing_shards=tuple(sorted({*weights.missing, *_broken(listing, weights)} - linked)),
        unfinished=_unfinished(path, listing),
        index_mismatches=tuple(index_mismatches(weights)),
        stated_bytes=weights.index.total_size if weights.index is not None else None,
        tensor_bytes=sum(entry.size for entry in tensors.values()) if tensors is not None else None,
        left_out=_left_out(tensors, config, is_adapter=is_adapter),
        bad_values=bad,
        embedding=_embedding(tensors),
        tokenizer=tokenizer,
        adapter=adapter,
        base=base_facts,
        escapes=(*listing.escapes, *_index_escapes(weights)),
        deep=deep,
        notes=_notes(weights, deep=deep),
    )


def _adapter_tensors(weights: FolderWeights) -> Mapping[str, TensorEntry] | None:
    file = next((file for file in weights.loaded if file.path.name in adapters.WEIGHT_FILES), None)
    return file.tensors if file is not None and file.ok else None


def _left_out(
    tensors: Mapping[str, TensorEntry] | None, config: ModelConfig | None, *, is_adapter: bool
) -> tuple[LeftOut, ...]:
    if tensors is None or is_adapter:
        return ()
    if config is not None and config.problem is not None:
        config = None
    return left_out(tensors, config)


def _broken(listing: Listing, weights: FolderWeights) -> Sequence[str]:
    """Links to weights that are not there: the hub's cache with its blob gone."""
    if weights.loaded or weights.index is not None:
        return ()
    return [name for name in listing.broken_links if name.endswith((".safetensors", ".bin"))]


def _index_escapes(weights: FolderWeights) -> list[Escape]:
    index = weights.index
    return [Escape(index.path.name, name, link=False) for name in index.escapes] if index is not None else []


def _unfinished(path: Path, listing: Listing) -> tuple[str, ...]:
    """Leftovers of downloads: at the top of the folder, and where the hub's client keeps them for a local folder."""
    found = [name for name in listing.files if name.endswith(_UNFINISHED)]
    if ".cache" in listing.folders:
        # huggingface_hub 1, _local_folder.py: <folder>/.cache/huggingface/download/<name>.<etag>.incomplete
        kept = path / ".cache" / "huggingface" / "download"
        with contextlib.suppress(OSError):
            found += [str((kept / name).relative_to(path)) for name in list_folder(kept).files]
            found = [name for name in found if name.endswith(_UNFINISHED)]
    return tuple(sorted(found))


def _embedding(tensors: Mapping[str, TensorEntry] | None) -> tuple[str, int] | None:
    """The embedding of tokens and its rows; None where there is none, or several of different lengths."""
    found: dict[str, int] = {}
    for name, entry in (tensors or {}).items():
        module, _, last = name.rpartition(".")
        if last == "weight" and len(entry.shape) == 2 and module.rpartition(".")[2] in _EMBEDDINGS:
            found[name] = entry.shape[0]
    if not found or len(set(found.values())) > 1:
        return None
    return min(found.items())


def _chat_stops(path: Path, files: Sequence[str], tokenizer: TokenizerFacts | None) -> tuple[str, ...]:
    """The tokens at which the model stops that end a turn of a chat."""
    if tokenizer is None:
        return ()
    stops = {tokenizer.eos_token} if tokenizer.eos_token is not None else set()
    if _GENERATION in files:
        try:
            eos = read_object(path / _GENERATION).get("eos_token_id")
        except UnsoundError:
            eos = None
        for number in eos if isinstance(eos, list) else [eos]:
            if isinstance(number, int) and number in tokenizer.ids:
                stops.add(tokenizer.ids[number])
    return tuple(sorted(stops & _CHAT_STOPS))


def _notes(weights: FolderWeights, *, deep: bool) -> tuple[str, ...]:
    notes: list[str] = []
    pickled = [file.path.name for file in weights.loaded if file.format not in ("safetensors", "unknown") and file.ok]
    if deep and pickled:
        notes.append(f"the numbers in {', '.join(pickled[:3])} are not read: only those of safetensors files are")
    safetensors = any(file.format == "safetensors" for file in weights.loaded)
    if deep and safetensors and importlib.util.find_spec("numpy") is None:
        notes.append('without numpy the search for NaN is slow: pip install "trainguard[data]"')
    return tuple(notes)
