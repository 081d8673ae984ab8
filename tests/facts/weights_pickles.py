"""Two sets of pickled files: poisoned ones, of every kind that is known to us, and honest ones of the real libraries.

Nothing here is ever unpickled. `docs/decisions/0002-pickle-scanner.md` compares scanners on them.
"""

from __future__ import annotations

import functools
import importlib
import io
import os
import pickle
import random
import runpy
import socket
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Calls:
    """An object that calls `function` when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def _tar(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, member in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(member)
            archive.addfile(info, io.BytesIO(member))
    return content.getvalue()


def _text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def poisoned() -> dict[str, bytes]:
    """File names and contents; each would run something while it is loaded."""
    import numpy as np
    import torch

    system = Calls(os.system, "true")
    inner = pickle.dumps(system, 2)
    files = {f"system-protocol-{protocol}.bin": pickle.dumps(system, protocol) for protocol in range(6)}
    files |= {f"popen-{p}.bin": pickle.dumps(Calls(subprocess.Popen, ["true"]), p) for p in (0, 2, 4)}
    calls: dict[str, Any] = {
        "eval": Calls(eval, "1"),
        "exec": {"a": [Calls(exec, "1")]},
        "import": Calls(__import__, "os"),
        "runpy": Calls(runpy.run_path, "x.py"),
        "importlib": Calls(importlib.import_module, "os"),
        "socket": Calls(socket.create_connection, ("localhost", 1)),
        "partial": functools.partial(os.system, "true"),
        "torch-load": Calls(torch.load, "other.bin"),
        "torch-hub": Calls(torch.hub.load, "org/name", "entry"),
        "torch-bytes": Calls(torch.storage._load_from_bytes, inner),
        "numpy-objects": np.array([system], dtype=object),
    }
    files |= {f"{name}.bin": pickle.dumps(value, 2) for name, value in calls.items()}
    files["torch-bytes-4.bin"] = pickle.dumps(calls["torch-bytes"], 4)
    for ending, value in (("bin", {"w": torch.ones(2), "x": system}), ("pt", Calls(subprocess.Popen, ["true"]))):
        for name, is_zip in (("zip", True), ("legacy", False)):
            content = io.BytesIO()
            torch.save(value, content, _use_new_zipfile_serialization=is_zip)
            files[f"torch-{name}.{ending}"] = content.getvalue()
    posix = _text("posix") + b"\x94" + _text("system") + b"\x94"
    files["stack-global-of-memo.bin"] = b"\x80\x04" + posix + b"00h\x00h\x01\x93" + _text("true") + b"\x85R."
    files["stack-global-behind-junk.bin"] = (
        b"\x80\x04" + _text("posix") + _text("system") + _text("junk") + b"0\x93" + _text("true") + b"\x85R."
    )
    files["stack-global-behind-number.bin"] = (
        b"\x80\x04" + _text("posix") + _text("system") + b"K\x010\x93" + _text("true") + b"\x85R."
    )
    files["inst.bin"] = b"(S'true'\nios\nsystem\n."
    files["obj.bin"] = b"(cos\nsystem\nS'true'\no."
    files["getattr-of-module.bin"] = (
        b"\x80\x02cbuiltins\ngetattr\nclogging\nos\nX\x06\0\0\0system\x86RX\x04\0\0\0true\x85R."
    )
    files["getattr-of-class.bin"] = (
        b"\x80\x02cbuiltins\ngetattr\nctorch\nTensor\nX\x04\0\0\0call\x86RX\x04\0\0\0true\x85R."
    )
    files["pickle-behind-pickle.bin"] = pickle.dumps({"a": 1}) + inner
    files["breaks-off-behind.bin"] = inner[:-1] + b"\xff\xff"
    files["magic-number-computed.bin"] = pickle.dumps(Calls(eval, "0x1950A86A20F9469CFC6C"), 2) + pickle.dumps(1001, 2)
    files["zip-in-zip.bin"] = _zip(
        {"a/data.pkl": pickle.dumps({}, 2), "a/inner.zip": _zip({"b/data.pkl": inner}), "a/version": b"3\n"}
    )
    files["zip-deflated.bin"] = _zip({"a/data.pkl": inner, "a/version": b"3\n"}, zipfile.ZIP_DEFLATED)
    files["zip-other-pickle.bin"] = _zip({"a/data.pkl": pickle.dumps({}, 2), "a/extra": inner})
    empty = pickle.dumps(0, 2)
    files["old-tar.bin"] = _tar({"sys_info": empty, "storages": empty, "tensors": empty, "pickle": inner})
    return files


def honest() -> dict[str, bytes]:
    """File names and contents that torch, numpy and a Trainer write."""
    import numpy as np
    import torch
    from transformers import TrainingArguments, get_scheduler

    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4))
    state = module.state_dict()
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    scheduler = get_scheduler("cosine", optimizer, 10, 100)
    quantized = torch.quantize_per_tensor(torch.ones(4, 4), 0.1, 0, torch.qint8)
    numpy_state = np.random.get_state()  # what the Trainer stores
    values: dict[str, Any] = {
        "state-dict": state,
        "state-dict-bf16": {name: tensor.bfloat16() for name, tensor in state.items()},
        "parameters": dict(module.named_parameters()),
        "nested": {"model": state, "epoch": 3},
        "whole-module": module,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "training-args": TrainingArguments(output_dir="out", report_to=[], use_cpu=True),
        "rng": {"python": random.getstate(), "numpy": numpy_state, "cpu": torch.get_rng_state()},
        "sparse": {"a": torch.eye(4).to_sparse()},
        "quantized": {"a": quantized},
        "float8": {"a": torch.ones(4).to(torch.float8_e4m3fn), "b": torch.arange(3).to(torch.uint16)},
        "numpy": {"a": np.arange(4.0), "b": np.array(["x", None], dtype=object), "c": np.float64(3)},
        "dtypes": {"dtype": torch.float16, "device": torch.device("cpu"), "shape": torch.Size([1, 2])},
    }
    files: dict[str, bytes] = {}
    for name, value in values.items():
        for kind, is_zip in (("zip", True), ("legacy", False)):
            content = io.BytesIO()
            torch.save(value, content, _use_new_zipfile_serialization=is_zip)
            files[f"{name}-{kind}.bin"] = content.getvalue()
    plain = {"a": [1, 2], "b": b"xy", "c": np.arange(3), "t": torch.ones(2)}
    files |= {f"plain-protocol-{protocol}.bin": pickle.dumps(plain, protocol) for protocol in range(6)}
    return files


def write(files: dict[str, bytes], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


MAGIC_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""What a legacy file of torch begins with: 0x1950A86A20F9469CFC6C by protocol 2."""


def legacy_with_a_claim(count: int) -> bytes:
    """A pickle whose first opcode claims that `count` bytes of text follow."""
    return b"\x80\x04\x8d" + struct.pack("<Q", count) + b"x"
