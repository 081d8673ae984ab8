"""Asks the type checker ty about Python texts that exist only in memory.

ty's language server takes texts over its standard input, so nothing is written to disk and one process
answers for many scripts. Requests and settings: https://docs.astral.sh/ty/reference/editor-settings/ and the
Language Server Protocol 3.17 (`textDocument/diagnostic`). Written against ty 0.0.105.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trainguard.errors import EngineError

# ty finds the packages of the environment that it is installed in; this folder has none, so that every
# third-party import is unknown, whoever runs the check.
_ENVIRONMENT = Path(__file__).with_name("empty_environment")

_RULES = (
    "unresolved-reference",
    "unsupported-operator",
    "not-callable",
    "not-iterable",
    "not-subscriptable",
    "missing-attribute",
    "division-by-zero",
    "index-out-of-bounds",
    "missing-argument",
    "too-many-positional-arguments",
    "unknown-argument",
    "invalid-argument-type",
    "invalid-assignment",
    "invalid-raise",
)

# What ty 0.0.105 accepts for `environment.python-version`.
OLDEST_MINOR, NEWEST_MINOR = 7, 15

# Language Server Protocol 3.17, MessageType.Error.
_MESSAGE_ERROR = 1

# A 300-line script takes 60 ms and the largest module of transformers 2 s; what takes longer was built to.
_BATCH_TIMEOUT_SECONDS = 60.0
_SINGLE_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMessage:
    """One diagnostic of ty. Lines and columns count from 1, columns in characters; ends are exclusive."""

    code: str
    text: str
    line: int
    column: int
    end_line: int
    end_column: int


class _DiedError(Exception):
    """The server ended, or was ended at its deadline, before it had answered."""


def ask_engine(texts: Sequence[str], *, python_version: str) -> list[tuple[EngineMessage, ...] | EngineError]:
    """ty's diagnostics of each text, or why there are none. Raises EngineError where ty is not installed."""
    binary = _binary()
    found = _ask_together(binary, texts, python_version)
    for index, text in enumerate(texts):
        if index not in found and len(texts) > 1:
            # One hostile script must not cost the others their answer.
            alone = _ask_together(binary, [text], python_version)
            if 0 in alone:
                found[index] = alone[0]
    return [found[index] if index in found else _no_answer() for index in range(len(texts))]


def _no_answer() -> EngineError:
    return EngineError(
        f"ty ended or ran out of its {_SINGLE_TIMEOUT_SECONDS:g} s on this script, so PY001 to PY006 could not "
        "be checked; `ty --version` must print 0.0.105 or newer, and the script may be too intricate for it"
    )


def _binary() -> str:
    try:
        from ty import find_ty_bin

        return find_ty_bin()
    except (ImportError, FileNotFoundError) as error:
        raise EngineError(f"the type checker ty is not installed ({error}); run `pip install ty`") from error


def _ask_together(binary: str, texts: Sequence[str], python_version: str) -> dict[int, tuple[EngineMessage, ...]]:
    """Answers by index, fewer than there are texts if the server died on one of them."""
    answers: dict[int, tuple[EngineMessage, ...]] = {}
    server = _started(binary)
    deadline = threading.Timer(_SINGLE_TIMEOUT_SECONDS if len(texts) == 1 else _BATCH_TIMEOUT_SECONDS, server.kill)
    deadline.daemon = True
    deadline.start()
    assert server.stdin is not None
    assert server.stdout is not None
    # Written from a thread of its own: both sides would wait for ever on two full pipes.
    writer = threading.Thread(target=_write, args=(server.stdin, texts, python_version), daemon=True)
    writer.start()
    try:
        waiting = set(range(1, len(texts) + 1))
        while waiting:
            message = _read(server.stdout)
            if message.get("method") == "window/showMessage" and message["params"]["type"] == _MESSAGE_ERROR:
                refusal = message["params"]["message"]
                raise EngineError(f"ty refused its settings: {refusal}; reinstall trainguard and ty")
            if "method" in message or message.get("id") not in waiting:
                continue
            waiting.remove(message["id"])
            if "result" in message:  # else ty failed on this text, and said so
                answers[message["id"] - 1] = _messages(message["result"]["items"])
    except _DiedError:
        pass
    finally:
        deadline.cancel()
        server.kill()  # it holds nothing that a polite goodbye would save
        server.wait()
        writer.join()
        server.stdout.close()
        with suppress(OSError):
            server.stdin.close()
    return answers


def _started(binary: str) -> subprocess.Popen[bytes]:
    # subprocess.DEVNULL would open the null device for writing, and this opens nothing for writing.
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return subprocess.Popen(
            [binary, "server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=nothing,
            cwd=_ENVIRONMENT,
            env=_environment_variables(),
        )
    except OSError as error:
        raise EngineError(f"ty cannot be started: {error}; reinstall it with `pip install ty`") from error
    finally:
        os.close(nothing)


def _environment_variables() -> dict[str, str]:
    """Without the variables that name a user's settings or Python environment."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "TEMP", "TMP")}
    nowhere = str(_ENVIRONMENT)
    return kept | {"HOME": nowhere, "XDG_CONFIG_HOME": nowhere, "APPDATA": nowhere, "TY_MAX_PARALLELISM": "2"}


def _write(pipe: IO[bytes], texts: Sequence[str], python_version: str) -> None:
    root = _ENVIRONMENT.as_uri()
    settings = {
        "configuration": {
            "environment": {
                "python": str(_ENVIRONMENT),
                "python-version": python_version,
                "python-platform": "all",
                "root": [],
            },
            "rules": {"all": "ignore"} | dict.fromkeys(_RULES, "error"),
        },
        "diagnosticMode": "openFilesOnly",
        "logLevel": "error",
    }
    capabilities = {"general": {"positionEncodings": ["utf-32"]}, "textDocument": {"diagnostic": {}}}
    start = {
        "processId": None,
        "rootUri": root,
        "workspaceFolders": [{"uri": root, "name": "scripts"}],
        "capabilities": capabilities,
        "initializationOptions": settings,
    }
    with suppress(OSError, ValueError):  # the server died; the reader sees the end of its output
        _send(pipe, "initialize", start, identifier=0)
        _send(pipe, "initialized", {})
        # All texts first: each one opened makes the server drop what it is working on.
        for index, text in enumerate(texts):
            document = {"uri": f"{root}/script{index}.py", "languageId": "python", "version": 1, "text": text}
            _send(pipe, "textDocument/didOpen", {"textDocument": document})
        for index in range(len(texts)):
            asked = {"textDocument": {"uri": f"{root}/script{index}.py"}}
            _send(pipe, "textDocument/diagnostic", asked, identifier=index + 1)
        pipe.flush()


def _send(pipe: IO[bytes], method: str, parameters: dict[str, Any], *, identifier: int | None = None) -> None:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": parameters}
    if identifier is not None:
        message["id"] = identifier
    body = json.dumps(message).encode("ascii")
    pipe.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)


def _read(pipe: IO[bytes]) -> dict[str, Any]:
    length = 0
    while (header := pipe.readline()) != b"\r\n":
        if not header:
            raise _DiedError
        name, _, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = pipe.read(length)
    if len(body) < length:
        raise _DiedError
    decoded: dict[str, Any] = json.loads(body)
    return decoded


def _messages(items: list[dict[str, Any]]) -> tuple[EngineMessage, ...]:
    return tuple(
        EngineMessage(
            code=item["code"],
            text=item["message"].partition("\n")[0],
            line=item["range"]["start"]["line"] + 1,
            column=item["range"]["start"]["character"] + 1,
            end_line=item["range"]["end"]["line"] + 1,
            end_column=item["range"]["end"]["character"] + 1,
        )
        for item in items
        if item.get("code")  # hints, such as unused variables, have none
    )
