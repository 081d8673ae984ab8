"""Whether a zstd file ends where its last frame does: the stream reader of zstandard 0.25 ends quietly in between."""

from __future__ import annotations

import os

_MAGIC = b"\x28\xb5\x2f\xfd"
# RFC 8878, 3.1.1.1.1: bytes of the dictionary's ID and of the content's size by their flags.
_DICTIONARY_BYTES = (0, 1, 2, 4)
_SIZE_BYTES = (0, 2, 4, 8)
_RLE = 1


def whole(descriptor: int) -> bool:
    """Walks over the headers of all blocks of all frames, which is a small read for each 128 KiB of content."""
    size = os.fstat(descriptor).st_size
    at = 0
    while at < size:
        head = os.pread(descriptor, 18, at)
        if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5:  # a skippable frame (3.1.2)
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if head[:4] != _MAGIC or len(head) < 6:
            return False
        flags = head[4]
        single = flags >> 5 & 1
        sized = _SIZE_BYTES[flags >> 6] or single
        at += 5 + (1 - single) + _DICTIONARY_BYTES[flags & 3] + sized
        last = False
        while not last:
            block = os.pread(descriptor, 3, at)
            if len(block) < 3:
                return False
            header = int.from_bytes(block, "little")
            last = bool(header & 1)
            at += 3 + (1 if header >> 1 & 3 == _RLE else header >> 3)
        at += 4 * (flags >> 2 & 1)  # the checksum
    return at == size
