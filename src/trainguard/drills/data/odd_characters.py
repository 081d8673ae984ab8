"""Row 9: text of all the world passes untouched, broken text is located."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainguard.drills.base import Drill, Outcome, missing, surplus
from trainguard.drills.data._rows import chat, line, write_lines
from trainguard.drills.guard import Guard

_SOUND = ("😀👩‍👩‍👧‍👦🏳️‍🌈", "مرحبا بالعالم", "שלום", "𐍈𠜎", "e\u0301 ﬁ \u2028 \u200b", "Zalgo: h̷̗̏e", "\ufffd")


class OddCharacters(Drill):
    number = 9
    area = "data"

    def provoke(self, scratch: Path, guard: Guard) -> Outcome:
        """Sound Unicode in one file; in another a byte that is no UTF-8 and an escape of half a character."""
        sound = write_lines(scratch / "sound.jsonl", [chat(text, text) for text in _SOUND])
        before = sound.read_bytes()
        broken = scratch / "train.jsonl"
        lines = [line(chat(f"{number}", "ok")).encode() for number in range(6)]
        lines[2] = lines[2].replace(b"ok", b"caf\xe9")
        lines[4] = lines[4].replace(b"ok", rb"\ud83d")
        broken.write_bytes(b"\n".join(lines) + b"\n")
        passes = Outcome(findings=guard.data(sound), values={"untouched": sound.read_bytes() == before})
        return Outcome(findings=guard.data(broken), values={"sound": passes})

    def expect(self, outcome: Outcome) -> Iterator[str]:
        yield from missing(outcome, "DATA007", line=3, evidence={"count": 2})
        yield from surplus(outcome, "DATA007")
        yield from surplus(outcome.values["sound"])
        if not outcome.values["sound"].values["untouched"]:
            yield "sound text was changed"
