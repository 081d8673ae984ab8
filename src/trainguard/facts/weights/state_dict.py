"""Tensors and storages of a torch pickle, by the shapes in it.

What `torch.save` writes for a tensor is `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`, where the
storage is a persistent id ("storage", torch.FloatStorage, key, device, number of elements) (torch 2.13,
_tensor.py `_reduce_ex_internal`, serialization.py `persistent_id`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from trainguard.facts.weights.dtypes import BITS
from trainguard.facts.weights.pickle_values import Call, Global, Persistent, pairs_of
from trainguard.facts.weights.records import TensorEntry

# Storage classes of torch 2.13 (torch/__init__.py) and dtypes, as safetensors names them.
_STORAGES: Mapping[str, str] = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "ComplexFloatStorage": "C64",
    "UntypedStorage": "U8",
}
_DTYPES: Mapping[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage by its key. `bytes` is None where its dtype is not known."""

    key: str
    dtype: str | None
    bytes: int | None


def storages_of(identities: Iterable[Any]) -> dict[str, Storage] | None:
    """The storages that a pickle names, each once; None where their ids are not those of torch."""
    found: dict[str, Storage] = {}
    for identity in identities:
        storage = _storage(identity)
        if storage is None:
            return None
        found[storage.key] = storage
    return found


def _storage(identity: Any) -> Storage | None:
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        return None
    kind, key, _, count = identity[1:5]
    if not isinstance(key, str) or not isinstance(count, int) or not isinstance(kind, Global):
        return None
    dtype = _STORAGES.get(kind.name)
    return Storage(key, dtype, count * BITS[dtype] // 8 if dtype is not None else None)


def tensors_of(value: Any) -> dict[str, TensorEntry] | None:
    """The tensors of a flat state dict; None where the pickle holds anything else beside them."""
    pairs = pairs_of(value)
    if pairs is None:
        return None
    tensors: dict[str, TensorEntry] = {}
    for name, item in pairs:
        entry = _tensor(item)
        if entry is None or not isinstance(name, str):
            return None
        tensors[name] = entry
    return tensors


def _tensor(value: Any) -> TensorEntry | None:
    if not isinstance(value, Call) or not isinstance(value.function, Global) or not isinstance(value.arguments, tuple):
        return None
    name, arguments = value.function.name, value.arguments
    if name in ("_rebuild_parameter", "_rebuild_parameter_with_state") and arguments:
        return _tensor(arguments[0])
    if name not in ("_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_tensor") or len(arguments) < 4:
        return None
    storage, shape = arguments[0], arguments[2]
    known = _storage(storage.identity) if isinstance(storage, Persistent) else None
    if known is None or not isinstance(shape, tuple) or not all(isinstance(length, int) for length in shape):
        return None
    dtype = known.dtype
    if name == "_rebuild_tensor_v3" and len(arguments) > 6 and isinstance(arguments[6], Global):
        dtype = _DTYPES.get(arguments[6].name)
    return TensorEntry(dtype or "?", shape)
