"""One checkpoint: everything about it that can be told, and whether a Trainer may resume from it.

Without a manifest it is verified where every file that a Trainer loads is there, structurally whole, and of one save.
What this cannot see, a manifest can: bytes that were changed without changing the structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trainguard.facts.checkpoint.folder import (
    ADAPTER_CONFIG,
    CHECKPOINT_NAME,
    CONFIG,
    MANIFEST,
    SENTINEL,
    STATE,
    Folder,
    list_folder,
)
from trainguard.facts.checkpoint.layouts import UNKNOWN_WORDS, layout_of
from trainguard.facts.checkpoint.manifest import Manifest, differences, read_manifest
from trainguard.facts.checkpoint.other_model import Base, other_model
from trainguard.facts.checkpoint.records import Checkpoint, CheckpointProblem, Layout, ProblemKind, TrainerState
from trainguard.facts.checkpoint.resume_files import Lack, lacking
from trainguard.facts.checkpoint.save_order import out_of_place
from trainguard.facts.checkpoint.saved_weights import SavedWeights, read_weights
from trainguard.facts.checkpoint.trainer_state import read_json, read_state
from trainguard.facts.weights.files import UnsoundError

Progress = Callable[[int], None]
# A tokenizer.json of 30 MB takes 200 ms to parse, and the Trainer does not load it: its last bytes tell enough.
_PARSED_BELOW = 2**20
_SAVED_WITHOUT = (
    "it was saved with save_only_model, without optimizer, scheduler and random states: the Trainer would resume with "
    "a new optimizer and at the first learning rate"
)
_CUT_SHORT = "the save was cut short"


@dataclass(slots=True)
class _Judgement:
    """What was found about a checkpoint so far. `doubts` withhold trust without being a problem."""

    problems: list[CheckpointProblem] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def add(self, kind: ProblemKind, words: str, file: str = "", cost: str = "", **evidence: object) -> None:
        self.problems.append(CheckpointProblem(kind=kind, words=words, file=file, cost=cost, evidence=evidence))

    def lacks(self, found: list[Lack]) -> None:
        for lack in found:
            if lack.certain:
                self.add("partial-save", lack.sentence, lack.file, lack.cost, **lack.evidence)
            else:
                self.doubts.append(lack.sentence + (f": {lack.cost}" if lack.cost else ""))

    @property
    def why_not(self) -> str:
        from trainguard.facts.checkpoint.records import HARMLESS

        words = [problem.words for problem in self.problems if problem.kind not in HARMLESS] + self.doubts
        return words[0] if words else ""


def verify(
    path: Path, root: Path, *, base: Base | None = None, deep: bool = False, progress: Progress | None = None
) -> Checkpoint:
    """Reads the checkpoint at `path`; links are followed inside of `root` only. Raises nothing for what is on disk."""
    match = CHECKPOINT_NAME.match(path.name)
    step = int(match[1]) if match is not None and len(match[1]) < 19 else None
    folder = list_folder(path, root)
    judged = _Judgement()
    layout: Layout = layout_of(folder)
    state: TrainerState | None = None
    manifest: Manifest | None = None
    if folder.unreadable is not None:
        judged.add("partial-save", folder.unreadable)
    elif folder.all_files == 0 and not folder.outside:
        judged.add("empty-folder", "it holds no file", cost="the Trainer takes the highest number and fails on it")
    elif layout == "accelerate":
        judged.doubts.append(UNKNOWN_WORDS[layout])
    else:
        state = _judge_state(folder, step, judged)
        manifest = _judge_manifest(folder, judged, deep, progress)
        weights = read_weights(folder, deep=deep, progress=progress)
        _judge_files(folder, layout, state, weights, judged, deep)
        if manifest is None and not judged.problems and (words := out_of_place(folder, weights.files)) is not None:
            judged.add("partial-save", words, cost="the Trainer goes on with what does not belong together")
        if manifest is None and layout != "trainer":
            judged.doubts.append(UNKNOWN_WORDS[layout])
        if (
            base is not None
            and not judged.problems
            and (other := other_model(folder, weights, base, manifest)) is not None
        ):
            cost = "the Trainer would load what fits of it and keep the rest"
            judged.add("other-model", f"{other[0]} {other[1]}", other[0], cost, base=base.shown)
        _judge_use(state, weights, judged)
        if list_folder(path, root).files != folder.files:
            judged.doubts.append("it was written to while it was read")
    why_not = judged.why_not
    return Checkpoint(
        path=path,
        name=path.name,
        step=step if step is not None else state.global_step if state is not None else None,
        state=state,
        size=folder.all_bytes,
        files=folder.all_files,
        saved=folder.saved,
        layout=layout,
        problems=tuple(judged.problems),
        verified=not why_not,
        why_not=why_not,
        manifest=manifest,
        by="manifest" if manifest is not None else "structure",
        deep=deep,
    )


def _judge_state(folder: Folder, step: int | None, judged: _Judgement) -> TrainerState | None:
    if STATE not in folder.files:
        return None
    state, problems = read_state(folder.path / STATE, step)
    judged.problems += problems
    return state


def _judge_manifest(folder: Folder, judged: _Judgement, deep: bool, progress: Progress | None) -> Manifest | None:
    if not folder.has(MANIFEST):
        return None
    try:
        manifest = read_manifest(folder.path)
    except UnsoundError as error:
        judged.add("partial-save", f"{MANIFEST} cannot be used: {error}", MANIFEST)
        return None
    if manifest is None:
        return None
    # A link that leads out of the output folder is not followed, so nothing is said about what is behind it.
    for name, words in differences(folder.path, manifest, skip=folder.outside, deep=deep, progress=progress):
        judged.add("partial-save", f"{name} {words}", name)
    return manifest


def _judge_files(
    folder: Folder, layout: Layout, state: TrainerState | None, weights: SavedWeights, judged: _Judgement, deep: bool
) -> None:
    for name in folder.outside:
        judged.doubts.append(f"{name} is a link that leads out of the folder, or nowhere")
    if SENTINEL in folder.files:
        judged.add("partial-save", f"{SENTINEL} says that the save did not reach its end", SENTINEL)
    elif folder.leftovers:
        judged.doubts.append(f"{folder.leftovers[0]} was left by something that did not reach its end")
    _judge_weights(folder, layout, weights, judged)
    for name, words in _damaged_json(folder):
        judged.add("partial-save", f"{name} is damaged: {words}", name)
    if layout == "trainer":
        step = state.global_step if state is not None else None
        found, without = lacking(folder, step, deep=deep)
        judged.lacks([lack for lack in found if lack.file not in folder.outside])
        if without:
            judged.doubts.append(_SAVED_WITHOUT)
    if STATE in folder.files or STATE in folder.outside:
        return
    cut = any(problem.kind == "partial-save" for problem in judged.problems)
    words = f"{STATE} is missing, which the Trainer writes last" if cut else f"{STATE} is missing"
    judged.add("partial-save" if cut else "trainer-state-missing", words, STATE, "the Trainer fails on it")


def _judge_weights(folder: Folder, layout: Layout, weights: SavedWeights, judged: _Judgement) -> None:
    # DeepSpeed and FSDP keep weights in folders of their own.
    if weights.missing and layout == "trainer" and not _in_subfolders(folder) and not folder.outside:
        judged.add("partial-save", "no file of weights is there", cost="the Trainer fails on it")
    for name, words in weights.problems:
        if name not in folder.outside:
            judged.add("partial-save", f"{name} {words}", name)


def _in_subfolders(folder: Folder) -> bool:
    """Whether several adapters were saved, each in a folder (transformers 5.23, trainer.py:3627)."""
    return any(
        (folder.path / name / file).is_file()
        for name in folder.folders
        for file in ("adapter_model.safetensors", "adapter_model.bin")
    )


def _damaged_json(folder: Folder) -> Iterator[tuple[str, str]]:
    for name, entry in folder.files.items():
        if not name.endswith(".json") or name in (STATE, MANIFEST) or name.endswith(".index.json"):
            continue
        try:
            if entry.size < _PARSED_BELOW or name in (CONFIG, ADAPTER_CONFIG):
                read_json(folder.path / name)
            else:
                _check_end(folder.path / name, entry.size)
        except UnsoundError as error:
            yield name, str(error)


def _check_end(path: Path, size: int) -> None:
    from trainguard.facts.weights.files import open_regular, read_at, why_unreadable

    try:
        with open_regular(path) as (file, _):
            end = read_at(file, max(size - 4096, 0), min(size, 4096))
    except OSError as error:
        raise UnsoundError(why_unreadable(error)) from None
    if b"\0" in end or end.rstrip()[-1:] not in (b"}", b"]"):
        raise UnsoundError("it ends in the middle of its JSON")


def _judge_use(state: TrainerState | None, weights: SavedWeights, judged: _Judgement) -> None:
    if weights.outdated:
        name = weights.files[-1]
        judged.add("outdated-format", f"{name} holds its weights in torch's older format", name)
    step, last = (state.global_step, state.max_steps) if state is not None else (None, None)
    if step is not None and last is not None and 0 < last <= step and not judged.why_not:
        words = f"it is at step {step:,} of max_steps {last:,}"
        judged.add("already-complete", words, STATE, global_step=step, max_steps=last)
