"""Which imports of a pickle run code while it is loaded, and which only make objects.

picklescan judges first, by its lists of names. Two things are added. Names that its lists lack and that run code by
themselves. And the products of `getattr`: picklescan calls every `getattr` dangerous, but members of an Enum that is
pickled by name are `getattr(Class, "MEMBER")` (Python 3.11, enum.py, `pickle_by_enum_name`). What such a `getattr`
gives is harmless while nothing calls it. docs/decisions/0002-pickle-scanner.md compares scanners.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from trainguard.facts.weights.pickle_values import Global
from trainguard.facts.weights.pickle_walk import PickleWalk, walk
from trainguard.facts.weights.records import DangerousGlobal

# Bytes of one pickle without its storages. That of a 70B model's state dict has less than one MB; a row of numbers
# kept as Python objects may have many, and picklescan holds every opcode in memory.
MAX_PICKLE_BYTES = 256_000_000
# picklescan 1.0.5 holds each opcode of a pickle in memory, about 200 bytes of it. Beyond, it is asked about the names
# that the walk has found, and does not walk itself.
_MAX_SCANNED_OPCODES = 300_000
_BUILTINS = ("builtins", "__builtin__")
_GETATTR = {Global(module, "getattr") for module in _BUILTINS}
# What picklescan 1.0.5 lacks in `_unsafe_globals`. Modules with all their submodules.
_MODULES = frozenset(
    {
        "_posixsubprocess",
        "_thread",
        "antigravity",
        "atexit",
        "bz2.open",
        "cffi",
        "code",
        "codeop",
        "concurrent",
        "dill",
        "distutils",
        "faulthandler",
        "fileinput",
        "ftplib",
        "http",
        "imaplib",
        "imp",
        "importlib",
        "IPython",
        "marshal",
        "multiprocessing",
        "nntplib",
        "pexpect",
        "platform",
        "poplib",
        "setuptools",
        "signal",
        "site",
        "smtplib",
        "socketserver",
        "sqlite3",
        "telnetlib",
        "tempfile",
        "threading",
        "torch.hub",
        "torch.utils.cpp_extension",
        "urllib",
        "urllib2",
        "xmlrpc",
        "zipimport",
    }
)
_NAMES = frozenset(
    {Global(m, n) for m in _BUILTINS for n in ("__import__", "globals", "locals", "setattr", "delattr", "input")}
    | {Global("__builtin__", n) for n in ("execfile", "file", "reload", "raw_input")}
    | {Global(m, n) for m in ("io", "_io") for n in ("open", "open_code", "FileIO")}
    | {Global("codecs", "open"), Global("types", "FunctionType"), Global("types", "ModuleType")}
    | {Global("types", "CodeType"), Global("linecache", "getline"), Global("inspect", "getattr_static")}
    | {Global("numpy", "load"), Global("numpy", "fromfile"), Global("numpy", "memmap"), Global("numpy", "save")}
    | {Global("pandas", "read_pickle"), Global("pandas.io.pickle", "read_pickle"), Global("joblib", "load")}
    | {Global("joblib.numpy_pickle", "load"), Global("torch", "load"), Global("torch", "save")}
    | {Global("torch.serialization", "load"), Global("torch.jit", "load"), Global("torch.jit._serialization", "load")}
    | {Global("torch._ops", "load_library"), Global("torch.ops", "load_library")}
    | {Global("functools", "partial"), Global("functools", "reduce")}
)
# Names of modules that another module has imported: `logging.os` is `os` to a pickle.
_MODULES_AS_NAMES = frozenset(
    {"os", "sys", "subprocess", "builtins", "importlib", "shutil", "socket", "runpy", "pickle"}
)
# Pickles behind each other in one file. torch's legacy format has five.
_MAX_PICKLES = 1000
# Bytes that a pickle carries and that are a pickle or a zip of pickles themselves; so deep they are looked into.
_MAX_DEPTH = 4
_NAME = re.compile(r"[\w.<>-]+")
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(6))


def judge(walked: PickleWalk, text: bytes, depth: int = 0) -> list[DangerousGlobal]:
    """The dangerous imports of a pickle that was walked, and of pickles that it carries as bytes."""
    found = {each for each in walked.imports if _runs_code(each)}
    found |= {each for each in walked.called if each.module == "?" and _calls_untold(walked)}
    if walked.imports or walked.problem is not None:
        found |= _by_picklescan(_names_alone(walked.imports))
        if walked.opcodes <= _MAX_SCANNED_OPCODES:
            found |= _by_picklescan(text)
    if found & _GETATTR and _only_members(walked):
        found -= _GETATTR
    plain = {each for each in found if _plain(each)}
    dangerous = [DangerousGlobal(each.module, each.name) for each in plain or found]
    if depth < _MAX_DEPTH:
        for carried in walked.carried:
            if carried.startswith(_PICKLES):
                dangerous += scan_pickles(carried, depth + 1)
            elif carried.startswith(b"PK\x03\x04"):
                dangerous += scan_zip(carried, depth + 1)
    return sorted(set(dangerous), key=str)


def scan_pickles(text: bytes, depth: int = 0) -> list[DangerousGlobal]:
    """The dangerous imports of all pickles that follow each other in `text`."""
    data = io.BytesIO(text)
    found: list[DangerousGlobal] = []
    for _ in range(_MAX_PICKLES):
        if data.tell() >= len(text):
            break
        start = data.tell()
        walked = walk(data)
        found += judge(walked, text[start : data.tell()] if walked.problem is None else text[start:], depth)
        if walked.problem is not None or walked.too_long:
            break
    return sorted(set(found), key=str)


def scan_zip(text: bytes, depth: int = 1) -> list[DangerousGlobal]:
    """The dangerous imports of the pickles in a zip archive that lies in another file."""
    import zipfile

    found: list[DangerousGlobal] = []
    try:
        with zipfile.ZipFile(io.BytesIO(text)) as archive:
            for info in archive.infolist():
                if info.file_size <= len(text) * 10 and info.file_size <= MAX_PICKLE_BYTES:
                    member = archive.read(info)
                    if member.startswith(_PICKLES) or info.filename.endswith(".pkl"):
                        found += scan_pickles(member, depth)
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError, NotImplementedError, EOFError):
        return found
    return found


def _names_alone(imports: Iterable[Global]) -> bytes:
    """A pickle that imports these names and does nothing else, for picklescan to judge."""
    lines = [f"c{each.module}\n{each.name}\n0".encode() for each in imports if _plain(each)]
    return b"".join(lines) + b"N."


def _plain(name: Global) -> bool:
    """Whether a name is made of what names are made of; modules of the hub have its hyphens and hashes in theirs."""
    return _NAME.fullmatch(name.module) is not None and _NAME.fullmatch(name.name) is not None


def _runs_code(name: Global) -> bool:
    if name in _NAMES or not _plain(name):
        return True
    parts = name.module.split(".")
    if any(".".join(parts[: count + 1]) in _MODULES for count in range(len(parts))):
        return True
    return name.name.partition(".")[0] in _MODULES_AS_NAMES


def _calls_untold(walked: PickleWalk) -> bool:
    """Whether what is called came out of another call, as in `getattr(module, "system")("…")`."""
    return bool(walked.attributes)


def _only_members(walked: PickleWalk) -> bool:
    """Whether every `getattr` fetches a public attribute of a class by a literal name, and nothing calls the result."""
    if Global("?", "?") in walked.called or not walked.attributes:
        return False
    for arguments in walked.attributes:
        if len(arguments) != 2 or not isinstance(arguments[0], Global) or not isinstance(arguments[1], str):
            return False
        owner, member = arguments
        if not owner.name[:1].isupper() or not member.isidentifier() or member.startswith("_"):
            return False
    return True


def _by_picklescan(text: bytes) -> set[Global]:
    from picklescan import scanner  # type: ignore[import-untyped]

    with _quiet():
        try:
            result = scanner.scan_pickle_bytes(io.BytesIO(text), "pickle", multiple_pickles=False)
        except Exception:  # the walk has judged already; what picklescan trips over is no reason to fall silent
            return set()
    dangerous = [each for each in result.globals if each.safety is scanner.SafetyLevel.Dangerous]
    # "unknown" is what picklescan writes where it cannot follow the stack. The walk can.
    return {Global(each.module, each.name) for each in dangerous if "unknown" not in (each.module, each.name)}


@contextmanager
def _quiet() -> Iterator[None]:
    """picklescan logs what it finds as warnings, which Python prints where nobody has set up logging."""
    log = logging.getLogger("picklescan")
    before = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before
