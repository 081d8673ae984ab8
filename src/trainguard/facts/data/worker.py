"""A process that reads ranges of training files for its parent: requests and tallies as msgpack through pipes.

Started by `pool.py` as a plain program. `multiprocessing` would run the main script of the user once more in each
worker (spawn), or copy a process that may have threads (fork).
"""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
from typing import IO

import msgspec

from trainguard.facts.data.blocks import BlockReader
from trainguard.facts.data.options import Options
from trainguard.facts.data.ranges import Range, tallies
from trainguard.facts.data.tally import Tally

LENGTH = struct.Struct("<Q")


class Request(msgspec.Struct, kw_only=True):
    """The first request brings `options`, and what the watchers need; each further one a range."""

    options: Options | None = None
    part: Range | None = None
    evaluation: bytes = b""


class Reply(msgspec.Struct, kw_only=True):
    """A tally of the range; `more` says that another of the same range follows."""

    tally: Tally
    more: bool = False


def send(stream: IO[bytes], message: msgspec.Struct) -> None:
    """Writes a message with its length before it."""
    data = msgspec.msgpack.encode(message)
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """The next message, None at the end of the stream or where it ends within a message."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


def main() -> None:
    """Answers requests until standard input ends."""
    # The terminal sends an interrupt to all; the parent decides, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is printed by a library must not come between the replies.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Decoded rows hold no cycles, and the collector would look at each of their lists again and again.
    gc.disable()
    decoder = msgspec.msgpack.Decoder(Request)
    reader: BlockReader | None = None
    limit = 0
    while (data := receive(sys.stdin.buffer)) is not None:
        request = decoder.decode(data)
        if request.options is not None:
            from trainguard.facts.data.probes import watchers

            reader = BlockReader(request.options, watchers(request.options, request.evaluation))
            limit = request.options.max_line_bytes
            send(output, Reply(tally=Tally()))
        if request.part is not None and reader is not None:
            last: Tally | None = None
            for tally in tallies(reader, request.part, limit):
                if last is not None:
                    send(output, Reply(tally=last, more=True))
                last = tally
            send(output, Reply(tally=last or Tally()))
