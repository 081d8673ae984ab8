"""SYS005: the machine is moving memory to and from its disk."""

from __future__ import annotations

from collections.abc import Iterator

from trainguard.facts.machine.records import MemoryFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import size

# The kernel counts the time in which no task could go on for want of memory; "a workload that spends extended time in
# this state is considered to be thrashing" (Documentation/accounting/psi.rst). A tenth of ten seconds is more than a
# program leaves that is merely brought back from swap once.
_STALLED_SHARE = 0.10
# Where the kernel does not count it (before 4.20, or psi=0): both ways at once and fast, as with programs
# that take turns.
_BYTES_PER_SECOND = 10e6

_MESSAGE = (
    "the machine is swapping: {back}/s come back from swap and {out}/s go out{stalled}, with {used} of {total} in use; "
    "training would wait for the disk at every step; end other programs, or use a machine with more memory"
)
_STALLED = ", and all tasks waited {share:.0%} of the last 10 s for memory"


class Swapping(Rule):
    """The machine is short of memory and swaps all the time.

    *What it does*

    Looks twice at the kernel's counters of swapped pages, a quarter of a second apart, and at the share of time in
    which every task waited for memory. Swap that is merely in use is no finding: only pages that keep coming back are.

    *Why it costs you*

    A step that waits for the disk takes many times as long, and the machine may not answer any more.

    *Example*

    ```sh
    vmstat 1  # si 41200, so 39000
    ```

    *Use instead*

    End what takes the memory (`ps aux --sort=-rss | head`), or train on a machine with more of it.
    """

    code = "SYS005"
    name = "swapping"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(
            machine={
                "memory": MemoryFacts(
                    swap_total_bytes=8 * 10**9,
                    swap_used_bytes=3 * 10**9,
                    swap_in_bytes_per_second=0.0,
                    swap_out_bytes_per_second=0.0,
                )
            },
            why="Swap that is used and left alone costs nothing.",
        ),
        Example(
            machine={
                "memory": MemoryFacts(
                    swap_total_bytes=8 * 10**9,
                    swap_used_bytes=10**9,
                    swap_in_bytes_per_second=30e6,
                    swap_out_bytes_per_second=0.0,
                    stalled_share=0.01,
                )
            },
            why="A program comes back from swap once.",
        ),
        Example(machine={"memory": MemoryFacts(swap_total_bytes=0, stalled_share=0.0)}),
    )
    INVALID = (
        Example(
            machine={
                "memory": MemoryFacts(
                    swap_total_bytes=8 * 10**9,
                    swap_used_bytes=7 * 10**9,
                    swap_in_bytes_per_second=41.2e6,
                    swap_out_bytes_per_second=39e6,
                    stalled_share=0.42,
                )
            },
            findings=(
                (
                    None,
                    _MESSAGE.format(
                        back="41.2 MB",
                        out="39.0 MB",
                        stalled=_STALLED.format(share=0.42),
                        used="7.0 GB",
                        total="8.0 GB",
                    ),
                ),
            ),
        ),
        Example(
            machine={
                "memory": MemoryFacts(
                    swap_total_bytes=8 * 10**9,
                    swap_used_bytes=7 * 10**9,
                    swap_in_bytes_per_second=20e6,
                    swap_out_bytes_per_second=25e6,
                )
            },
            findings=(
                (
                    None,
                    _MESSAGE.format(back="20.0 MB", out="25.0 MB", stalled="", used="7.0 GB", total="8.0 GB"),
                ),
            ),
            why="An older kernel does not count the waiting.",
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        memory = subject.machine.memory if subject.machine is not None else MemoryFacts()
        back, out = memory.swap_in_bytes_per_second, memory.swap_out_bytes_per_second
        if back is None or out is None or memory.swap_total_bytes is None or memory.swap_used_bytes is None:
            return
        if memory.stalled_share is not None:
            thrashes = back > 0 and memory.stalled_share >= _STALLED_SHARE
        else:
            thrashes = min(back, out) >= _BYTES_PER_SECOND
        if not thrashes:
            return
        message = _MESSAGE.format(
            back=size(back),
            out=size(out),
            stalled=_STALLED.format(share=memory.stalled_share) if memory.stalled_share is not None else "",
            used=size(memory.swap_used_bytes),
            total=size(memory.swap_total_bytes),
        )
        evidence = {
            "swap_in_bytes_per_second": back,
            "swap_out_bytes_per_second": out,
            "stalled_share": memory.stalled_share,
        }
        yield self.finding(message, evidence=evidence)
