"""Is what failed there again? A GPU is asked through its driver, a host by a connection; each may take its time."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from trainguard.daemon.gpu import GpuMemory

# Long enough for a lost packet or two (RFC 6298: the first retransmission comes after a second, then two).
_CONNECT_SECONDS = 5.0
_START_SECONDS = 30.0
_URL = re.compile(r"(https?)://(?:[^\s/@'\"]+@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(?=[\s/'\"?#,;)]|$)")
# urllib3 2.x, connectionpool.py and exceptions.py; the resolver's words are those of NameResolutionError.
_POOL = re.compile(r"HTTP(S?)ConnectionPool\(host='([^'\s]{1,253})', port=(\d{1,5})\)")
_RESOLVE = re.compile(r"Failed to resolve '([^'\s]{1,253})'")
_PLAIN = re.compile(r"(?:waits for|no answer from) (\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
# What the driver's figures vary by, as between two files (gpu.py).
_SLACK_BYTES = 256 << 20


def host_of(words: str) -> tuple[str, int] | None:
    """The host and port that an error names; None where it names none."""
    if (found := _PLAIN.search(words)) is not None:
        return _known(found[1], int(found[2]))
    if (found := _POOL.search(words)) is not None:
        return _known(found[2], int(found[3]))
    if (found := _URL.search(words)) is not None:
        return _known(found[2], int(found[3]) if found[3] else 443 if found[1] == "https" else 80)
    if (found := _RESOLVE.search(words)) is not None:
        return _known(found[1], 443)
    return None


def answers(host: str, port: int) -> bool:
    """Whether a connection can be made, to the proxy where one is set for the host. Never raises."""
    address = _proxy(host, port) or (host, port)
    try:
        socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
    except (OSError, UnicodeError, OverflowError):
        return False
    return True


def can_start() -> bool:
    """Whether a process can be started as an attempt's is, with as many descriptors. Never raises."""
    command = [
        sys.executable or "python3",
        "-I",
        "-S",
        "-c",
        "import os; os.pipe(); os.pipe(); os._exit(os.fork() and 0)",
    ]
    try:
        with open(os.devnull, "ab") as log:
            done = subprocess.run(
                command, input=b"", stdout=subprocess.PIPE, stderr=log, check=False, timeout=_START_SECONDS
            )
    except (OSError, ValueError, RuntimeError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def gpu_again(gpu: GpuMemory, kind: str | None, data: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the GPUs are there, with the memory that was missing, and what was seen. `kind` and `data` are the
    failure's.

    Only where `gpu.before` has GPUs: without them nothing can be asked.
    """
    before, found = gpu.before or {}, {each.index: each for each in gpu.visible()}
    for index in before:
        each = found.get(index)
        if each is None or each.problem is not None:
            return False, f"GPU {index} does not answer" + (f": {each.problem}" if each and each.problem else "")
    own, tried = data.get("own_bytes"), data.get("tried_bytes")
    if isinstance(own, int) and isinstance(tried, int):
        for each in found.values():
            # No more than was free when the daemon began: the driver keeps some of the total for itself.
            most = (each.total_bytes or own + tried) - before.get(each.index, 0) - _SLACK_BYTES
            needed = min(own + tried, most)
            if each.free_bytes is not None and each.free_bytes < needed:
                have = f"{each.free_bytes / 2**30:.1f} of {needed / 2**30:.1f} GiB"
                return False, f"GPU {each.index} has {have} free{gpu.held_by(each)}"
    elif kind == "gpu-oom":
        above = gpu.above()
        if above:
            one, more = max(above, key=lambda each: each[1])
            return False, f"GPU {one.index} has {more / 2**30:.1f} GiB more in use than before{gpu.held_by(one)}"
    names = ", ".join(f"GPU {index}" for index in sorted(found))
    return True, f"{names} answer" + ("s" if len(found) == 1 else "")


def _known(host: str, port: int) -> tuple[str, int] | None:
    host = host.strip("[]").rstrip(".,")
    return (host, port) if host and 0 < port < 65_536 else None


def _proxy(host: str, port: int) -> tuple[str, int] | None:
    """As requests and httpx find it: by the environment."""
    try:
        if proxy_bypass(host):
            return None
        proxies = getproxies()
        given = proxies.get("http" if port == 80 else "https") or proxies.get("all")
        parts = urlsplit(given if "://" in given else f"http://{given}") if given else None
        if parts is None or not parts.hostname:
            return None
        return parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except (OSError, ValueError):
        return None
