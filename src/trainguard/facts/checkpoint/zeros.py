"""Blocks of zeros where tensors should be: what a power cut leaves of data that was never written.

File systems give a file its length before its blocks (delayed allocation of ext4 and xfs), so that after a power cut
the file has the right size and zeros from some block on. Nothing in a safetensors file tells: it loads, silently.
Honest tensors are zero too: biases, the B of a LoRA that has not learnt, padding rows of an embedding. They are zero in
whole rows; a torn file is zero from the border of a block, in the middle of a row.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO

from trainguard.facts.weights.files import UnsoundError, open_regular, read_at, why_unreadable
from trainguard.facts.weights.records import TensorEntry, WeightsFile

BLOCK = 4096  # the page of Linux, and the usual block of ext4 and xfs
_ZEROS = bytes(BLOCK)
_PIECE = 4 * 2**20
# Blocks that are looked at in a file that is too long to be read whole.
_SAMPLED = 64
# Random values end in so few zero bytes only.
_SLACK = 8
# A file that ends in so many zero bytes, from the middle of a row on, did not come out of training.
_LEAST_TAIL = 32
# A file with more runs of zeros than this is sparse on purpose.
_MOST_RUNS = 16
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_NUMBERS = re.compile(r"\d+")
# Tensors with a row for each token, of which some may never have been used.
_PADDED = re.compile(r"emb|wte|wpe|head|vocab", re.IGNORECASE)
_UNLEARNT = re.compile(r"bias|lora_B|lora_magnitude|embedding_B|zero|gate\.|alpha|scale|gamma|mask", re.IGNORECASE)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    begin: int
    end: int
    row: int
    matrix: bool


def torn(weights: WeightsFile, *, whole: bool, progress: Progress | None = None) -> str | None:
    """Why the data of a sound safetensors file cannot be what was saved, in words, or None.

    `whole` reads all of it; otherwise its end and samples of the rest. `progress` gets the bytes that were read.
    """
    tensors = _floats(weights)
    if not tensors:
        return None
    try:
        with open_regular(weights.path) as (file, size):
            if size != weights.bytes:
                return "its length changed while it was read"
            tail = _tail(file, size, weights.data_start, whole)
            words = _judge_tail(file, tail, size, tensors) if tail < size else None
            if words is None:
                words = _judge_holes(file, min(tail, size), weights.data_start, tensors, whole, progress)
            return words
    except UnsoundError as error:
        return str(error)
    except OSError as error:
        return why_unreadable(error)


def _floats(weights: WeightsFile) -> list[_Tensor]:
    """The tensors of floats with their places in the file, in order."""
    found = []
    for name, entry in (weights.tensors or {}).items():
        if entry.dtype in _FLOATS and entry.data_offsets is not None and entry.size > 0:
            begin, end = entry.data_offsets
            start = weights.data_start
            found.append(_Tensor(name, start + begin, start + end, _row_bytes(entry), len(entry.shape) > 1))
    return sorted(found, key=lambda tensor: tensor.begin)


def _row_bytes(entry: TensorEntry) -> int:
    if len(entry.shape) < 2:
        return max(entry.size, 1)
    return max(entry.shape[-1] * _FLOATS[entry.dtype], 1)


def _tail(file: FileIO, size: int, start: int, whole: bool) -> int:
    """Where the zeros at the end of the file begin; `size` where there are none.

    Without `whole`, a long tail is found by samples and halving, on the assumption that it has no gaps.
    """
    end = size
    if not whole:
        if any(read_at(file, max(size - BLOCK, start), min(BLOCK, size - start))):
            return _zeros_before(file, size, start)
        offsets = _sample_offsets(start, size)
        last = next((offset for offset in reversed(offsets) if read_at(file, offset, BLOCK) != _ZEROS), None)
        if last is None:
            return start
        return _zeros_before(file, _first_zero_block(file, last, size - size % BLOCK), start)
    while end > start:
        count = min(_PIECE, end - start)
        kept = len(read_at(file, end - count, count).rstrip(b"\0"))
        if kept:
            return end - count + kept
        end -= count
    return start


def _first_zero_block(file: FileIO, written: int, zero: int) -> int:
    """The border between a block that is written and a later one that is zero, by halving."""
    while zero - written > BLOCK:
        middle = (written + zero) // 2 // BLOCK * BLOCK
        if read_at(file, middle, BLOCK) == _ZEROS:
            zero = middle
        else:
            written = middle
    return zero


def _last_zero_block(file: FileIO, zero: int, written: int) -> int:
    """The end of the zeros between a block that is zero and a later one that is written, by halving."""
    while written - zero > BLOCK:
        middle = (written + zero) // 2 // BLOCK * BLOCK
        if read_at(file, middle, BLOCK) == _ZEROS:
            zero = middle
        else:
            written = middle
    return zero + BLOCK


def _sample_offsets(start: int, end: int) -> list[int]:
    """Blocks spread evenly over a part of a file."""
    first, last = -(-start // BLOCK), end // BLOCK
    step = max((last - first) // _SAMPLED, 1)
    return [number * BLOCK for number in range(first, last, step)]


def _judge_tail(file: FileIO, begin: int, size: int, tensors: list[_Tensor]) -> str | None:
    if size - begin < _LEAST_TAIL:
        return None
    words = f"it ends in {size - begin:,} zero bytes, from byte {begin:,} on"
    first = _holding(tensors, begin)
    empty = [tensor for tensor in tensors if tensor.begin >= begin and not _UNLEARNT.search(tensor.name)]
    if first is not None and _is_torn_tail(first, begin, any(tensor.matrix for tensor in empty)):
        return f"{words}, in the middle of tensor {first.name!r}: these blocks were never written"
    for tensor in empty:
        siblings = [other for other in tensors if other.begin < begin and _kind(other.name) == _kind(tensor.name)]
        if siblings and all(any(read_at(file, other.begin, min(64, other.end - other.begin))) for other in siblings):
            return f"{words}: tensor {tensor.name!r} is all zero, unlike {siblings[0].name!r}"
    return None


def _is_torn_tail(tensor: _Tensor, begin: int, more: bool) -> bool:
    """Whether zeros from `begin` to the end of the file break off a tensor: inside of a row, or at a block.

    `more` says that whole matrices after it are zero too, which rows of padding never are.
    """
    if not _at_row(tensor, begin):
        return True
    if min(begin - tensor.begin, tensor.end - begin) < _SLACK:
        return False
    return more or (-begin % BLOCK < _SLACK and not _PADDED.search(tensor.name))


def _kind(name: str) -> str:
    """What a tensor is, for a comparison with others: its last two parts without numbers; one kind for all norms."""
    parts = [part for part in name.split(".") if not _NUMBERS.fullmatch(part)][-2:]
    if any("norm" in part.lower() or part.startswith("ln_") for part in parts):
        return f"norm.{parts[-1]}"
    return ".".join(parts)


def _judge_holes(
    file: FileIO, end: int, start: int, tensors: list[_Tensor], whole: bool, progress: Progress | None
) -> str | None:
    found: str | None = None
    blocks = _zero_runs(file, start, end, progress) if whole else _sampled(file, start, end)
    for runs, (begin, stop) in enumerate(blocks, 1):
        if runs > _MOST_RUNS:
            return None
        if found is None:
            found = _judge_run(file, begin, stop, start, end, tensors)
    return found


def _zero_runs(file: FileIO, start: int, end: int, progress: Progress | None) -> Iterator[tuple[int, int]]:
    """Runs of whole blocks of zeros, as offsets in the file."""
    run: int | None = None
    for offset in range(start - start % BLOCK, end, _PIECE):
        piece = read_at(file, offset, min(_PIECE, end - offset))
        if progress is not None:
            progress(len(piece))
        if run is None and _ZEROS not in piece:
            continue
        for at in range(0, len(piece) - BLOCK + 1, BLOCK):
            blank = piece.startswith(_ZEROS, at)
            if blank and run is None:
                run = offset + at
            elif not blank and run is not None:
                yield run, offset + at
                run = None
    if run is not None:
        yield run, end - end % BLOCK


def _sampled(file: FileIO, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Runs of zeros that samples show, with their edges found by halving."""
    written: int | None = None
    run: int | None = None
    zero = start
    for offset in _sample_offsets(start, end):
        if read_at(file, offset, BLOCK) == _ZEROS:
            zero = offset
            if run is None:
                run = _first_zero_block(file, written, offset) if written is not None else offset
        else:
            if run is not None:
                yield run, _last_zero_block(file, zero, offset)
                run = None
            written = offset
    if run is not None:
        yield run, zero + BLOCK


def _judge_run(file: FileIO, begin: int, stop: int, start: int, end: int, tensors: list[_Tensor]) -> str | None:
    """A run of zeros is torn where its edges are borders of blocks, or of tensors that are zero themselves."""
    first, last = _zeros_before(file, begin, start), _zeros_after(file, stop, end)
    held = _holding(tensors, begin)
    at_blocks = 0
    for edge, border in ((first, -(-first // BLOCK) * BLOCK), (last, last // BLOCK * BLOCK)):
        tensor = _holding(tensors, edge) or _holding(tensors, edge - 1)
        if tensor is None:
            return None
        if min(edge - tensor.begin, tensor.end - edge) < _SLACK:
            continue
        if abs(border - edge) >= _SLACK or (_PADDED.search(tensor.name) and _at_row(tensor, edge)):
            return None
        at_blocks += 1
    if not at_blocks or held is None:
        return None
    return (
        f"it holds {last - first:,} zero bytes from byte {first:,} on, in tensor {held.name!r}: "
        "these blocks were never written"
    )


def _zeros_before(file: FileIO, begin: int, start: int) -> int:
    """Where the zeros before `begin` start, as far as one block back."""
    count = min(BLOCK, begin - start)
    return begin - count + len(read_at(file, begin - count, count).rstrip(b"\0"))


def _zeros_after(file: FileIO, stop: int, end: int) -> int:
    """Where the zeros after `stop` end, as far as one block on."""
    piece = read_at(file, stop, min(BLOCK, end - stop))
    return stop + len(piece) - len(piece.lstrip(b"\0"))


def _holding(tensors: list[_Tensor], offset: int) -> _Tensor | None:
    at = bisect_right(tensors, offset, key=lambda tensor: tensor.begin) - 1
    return tensors[at] if at >= 0 and offset < tensors[at].end else None


def _at_row(tensor: _Tensor, offset: int) -> bool:
    """Whether a row begins at `offset`, or so near that the bytes between may be zero by chance."""
    into = (offset - tensor.begin) % tensor.row
    return into < _SLACK or tensor.row - into < _SLACK
