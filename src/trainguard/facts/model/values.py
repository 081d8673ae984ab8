"""Numbers that cannot be right: tensors of zeros, ends of files that were never written, NaN.

Without `deep`, the last 4 KiB of each tensor are read, and more only where those are all zeros. With `deep`, every byte
is. Zeros are normal in many places (biases, padded rows of an embedding, LoRA's B before training, layers that were
added as identities), so they count only in tensors whose like elsewhere in the model hold other numbers.
"""

from __future__ import annotations

import errno
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import FileIO

from trainguard.facts.model.records import BadValues
from trainguard.facts.weights.files import UnsoundError, open_regular, read_at
from trainguard.facts.weights.float_bits import FLOATS, are_zeros, count_special, has_special
from trainguard.facts.weights.records import TensorEntry, WeightsFile

SAMPLE_BYTES = 4096
_SPREAD = 16
_PIECE_BYTES = 1 << 20
# Matrices without which no layer works; the names are those of transformers' language models.
_NEVER_ZERO = re.compile(
    r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|lm_head|embed_out|output"
    r"|[qkv]_proj|qkv_proj|query_key_value|c_attn|c_fc|gate_proj|up_proj|gate_up_proj|dense_h_to_4h|query|key|value)"
    r"\.weight$"
)
# Blocks that are added as identities have these two at zero (LLaMA Pro, arXiv 2401.02415, section 3.2).
_IDENTITY = re.compile(r"^(.*)\.(?:self_attn\.o_proj|mlp\.down_proj|attn\.c_proj|mlp\.c_proj)\.weight$")
_EMBEDDING = re.compile(r"(?:embed|wte|wpe|lm_head|word_embeddings|shared|output)[^.]*\.weight$")
_NORM = re.compile(r"(?:norm|ln_?\w*|layer_?norm)\w*\.weight$", re.IGNORECASE)
_NUMBER = re.compile(r"\.\d+\.")
Progress = Callable[[int, int], None]


@dataclass(slots=True)
class _Seen:
    """What was found of one tensor."""

    file: WeightsFile
    name: str
    entry: TensorEntry
    zero: bool = False
    zero_end: bool = False
    last: bool = False
    nan: float | None = 0.0
    infinite: float | None = 0.0


@dataclass(slots=True)
class _Group:
    """Tensors of the same name in different layers."""

    members: list[_Seen] = field(default_factory=list)


def bad_values(
    files: Sequence[WeightsFile], *, deep: bool, adapter: bool, on_progress: Progress | None = None
) -> tuple[BadValues, ...]:
    """What is wrong with the numbers in sound safetensors files, those included that somebody cuts short meanwhile."""
    gone: list[BadValues] = []
    seen: list[_Seen] = []
    total = sum(file.bytes for file in files)
    done = 0
    for file in files:
        try:
            for each in _of_file(file, deep=deep):
                seen.append(each)
                if on_progress is not None and deep:
                    on_progress(min(done + each.entry.size, total), total)
                done += each.entry.size
        except (UnsoundError, OSError):
            gone.append(BadValues(file=file.path.name, tensor="", kind="unreadable", bytes=file.bytes))
    found = (*gone, *_special(seen), *_zeros(seen, adapter=adapter))
    return tuple(sorted(found, key=lambda bad: (bad.file, bad.tensor)))


def _of_file(file: WeightsFile, *, deep: bool) -> Iterator[_Seen]:
    tensors = [(name, entry) for name, entry in (file.tensors or {}).items() if entry.size and entry.dtype in FLOATS]
    tensors.sort(key=lambda item: item[1].data_offsets or (0, 0))
    with open_regular(file.path) as (opened, _):
        for number, (name, entry) in enumerate(tensors):
            each = _Seen(file, name, entry, last=number == len(tensors) - 1)
            (_read_whole if deep else _read_end)(opened, each)
            yield each


def _read_end(opened: FileIO, each: _Seen) -> None:
    begin, end = _bounds(each)
    sample = read_at(opened, max(begin, end - SAMPLE_BYTES), min(SAMPLE_BYTES, end - begin))
    if are_zeros(sample):
        each.zero_end = len(sample) > 64
        each.zero = _is_zero(opened, begin, end)
    elif has_special(sample, each.entry.dtype):
        each.nan, each.infinite = (None if part else 0.0 for part in count_special(sample, each.entry.dtype))


def _read_whole(opened: FileIO, each: _Seen) -> None:
    begin, end = _bounds(each)
    nan = infinite = 0
    zero = True
    at = begin
    piece = b""
    while at < end:
        piece = read_at(opened, at, min(_PIECE_BYTES, end - at))
        zero = zero and are_zeros(piece)
        if not zero:
            more_nan, more_infinite = count_special(piece, each.entry.dtype)
            nan, infinite = nan + more_nan, infinite + more_infinite
        at += len(piece)
    elements = max(each.entry.elements, 1)
    each.zero, each.nan, each.infinite = zero, nan / elements, infinite / elements
    tail = piece[-SAMPLE_BYTES:]
    each.zero_end = len(tail) > 64 and are_zeros(tail)


def _bounds(each: _Seen) -> tuple[int, int]:
    begin, end = each.entry.data_offsets or (0, 0)
    return each.file.data_start + begin, each.file.data_start + end


def _is_zero(opened: FileIO, begin: int, end: int) -> bool:
    """Whether bytes are zeros: a hole of the file, or zeros at sixteen places spread over them."""
    try:
        if os.lseek(opened.fileno(), begin, os.SEEK_DATA) >= end:
            return True
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data at all from `begin` to the end of the file
            return True
    step = max((end - begin) // _SPREAD, 1)
    for at in range(begin, end, step):
        piece = read_at(opened, at, min(256, end - at))
        if not are_zeros(piece):
            return False
    return True


def _special(seen: Sequence[_Seen]) -> Iterator[BadValues]:
    for each in seen:
        size = each.entry.size
        name = each.file.path.name
        if each.nan is None or each.nan > 0:
            yield BadValues(file=name, tensor=each.name, kind="nan", share=each.nan, bytes=size)
        elif (each.infinite is None or each.infinite > 0) and each.name.endswith((".weight", ".bias")):
            # Masks are stored as buffers of other names, with infinities on purpose.
            yield BadValues(file=name, tensor=each.name, kind="infinite", share=each.infinite, bytes=size)


def _zeros(seen: Sequence[_Seen], *, adapter: bool) -> Iterator[BadValues]:
    if adapter:
        return
    groups: dict[str, _Group] = defaultdict(_Group)
    for each in seen:
        groups[_NUMBER.sub(".*.", each.name)].members.append(each)
    # Some norms are stored as the distance from one (Gemma, Qwen3-Next), and begin as zeros all together.
    # A tower beside them (PaliGemma's SigLIP) has norms of the other kind: only those of the same stack count.
    norms = [each for each in seen if _NORM.search(each.name) and _NUMBER.search(each.name)]
    identities = _identity_blocks(seen)
    for each in seen:
        like = groups[_NUMBER.sub(".*.", each.name)].members
        kind = _NORM.search(each.name)
        if each.zero and len(each.entry.shape) >= 2 and each.name.endswith(".weight"):
            block = _IDENTITY.match(each.name)
            if (block is not None and block[1] in identities) or each.entry.elements < 4:
                continue
            if _NEVER_ZERO.search(each.name) or any(not other.zero for other in like):
                yield _zero(each, "zeros")
        elif each.zero and kind and each.entry.elements >= 4:
            final = _NUMBER.search(each.name) is None and _others_are_live(each, norms)
            if final or any(not other.zero for other in like):
                yield _zero(each, "zeros")
        elif each.zero_end and not each.zero and each.last and _may_end_file(each, like):
            yield _zero(each, "zero-tail")


def _others_are_live(norm: _Seen, norms: Sequence[_Seen]) -> bool:
    """Whether norms of the layers are not zero: of the layers of `norm`'s own stack where it has some, else of all."""
    stack = norm.name.removesuffix(".weight").rpartition(".")[0]
    like = [each for each in norms if each.entry.shape == norm.entry.shape]
    own = [each for each in like if each.name.startswith(f"{stack}.")]
    return any(not each.zero for each in own or like)


def _identity_blocks(seen: Sequence[_Seen]) -> set[str]:
    zero: dict[str, int] = defaultdict(int)
    for each in seen:
        match = _IDENTITY.match(each.name)
        if match is not None and each.zero:
            zero[match[1]] += 1
    return {block for block, count in zero.items() if count == 2}


def _may_end_file(each: _Seen, like: Sequence[_Seen]) -> bool:
    """Whether zeros at the end of the last tensor are odd: no embedding (padded rows), and alone among its like."""
    if _EMBEDDING.search(each.name) or len(each.entry.shape) < 2 or not each.name.endswith(".weight"):
        return False
    return not any(other.zero_end for other in like if other is not each)


def _zero(each: _Seen, kind: str) -> BadValues:
    size = each.entry.size
    name = each.file.path.name
    if kind == "zeros":
        return BadValues(file=name, tensor=each.name, kind="zeros", share=1.0, bytes=size)
    return BadValues(file=name, tensor=each.name, kind="zero-tail", bytes=size)
