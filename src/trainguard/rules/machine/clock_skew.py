"""SYS010: clocks that disagree."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from trainguard.facts.machine.records import ClockFacts, FolderFacts
from trainguard.findings import Finding
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.machine._words import at

# FAT keeps times to 2 s, servers without NTP drift by seconds a day, and comparing files needs no finer order.
_SKEW_SECONDS = 5.0
# trainguard did not exist before, so a clock that shows less is not set (a dead battery starts in 1970 or 2000).
_EARLIEST = 1_735_689_600  # 2025-01-01 UTC

_SERVER = (
    "a file just written to {path} is dated {skew:,.0f} s {direction} of this machine's clock: the newest checkpoint "
    "may look older than others, and files look unfinished or stale; synchronise both clocks (NTP)"
)
_STEPPED = (
    "the clock jumped by {drift:+,.1f} s while it was looked at: time stamps of logs and checkpoints lie out of order; "
    "let one service alone set the clock (timedatectl)"
)
_UNSET = (
    "the clock shows {date}, which is past: certificates are refused, so that downloads fail, and checkpoints get "
    "wrong dates; set the clock (timedatectl set-ntp true)"
)


class ClockSkew(Rule):
    """The machine's clock is wrong, jumps, or differs from the file server's.

    *What it does*

    Compares the time stamp of a file that was just written with this machine's clock, the wall clock with the
    monotonic one, and the date with the year in which trainguard appeared. A warning from 5 seconds on.

    *Why it costs you*

    Whatever goes by time stamps takes an old file for the newest, and a queue waits for files to be older than now.

    *Example*

    ```sh
    touch /mnt/nfs/x && stat -c %Y /mnt/nfs/x && date +%s  # an hour apart
    ```

    *Use instead*

    ```sh
    timedatectl set-ntp true  # on both machines
    ```
    """

    code = "SYS010"
    name = "clock-skew"
    severity = "warn"
    area = "machine"
    needs = frozenset({"machine"})

    VALID = (
        Example(machine={"folder": FolderFacts(path="out", skew_seconds=-0.004)}, why="The kernel's tick."),
        Example(machine={"clock": ClockFacts(wall_seconds=1_790_000_000.0, drift_seconds=0.00001)}),
    )
    INVALID = (
        Example(
            machine={"folder": FolderFacts(path="/mnt/nfs/out", skew_seconds=-3600.0)},
            findings=((None, _SERVER.format(path="/mnt/nfs/out", skew=3600.0, direction="behind")),),
        ),
        Example(
            machine={"clock": ClockFacts(wall_seconds=946_684_900.0)},
            findings=((None, _UNSET.format(date="2000-01-01")),),
        ),
        Example(
            machine={"clock": ClockFacts(wall_seconds=1_790_000_000.0, drift_seconds=-120.0)},
            findings=((None, _STEPPED.format(drift=-120.0)),),
        ),
    )

    def check(self, subject: Subject) -> Iterator[Finding]:
        machine = subject.machine
        if machine is None:
            return
        folder, clock = machine.folder, machine.clock
        stepped = clock is not None and clock.drift_seconds is not None and abs(clock.drift_seconds) >= _SKEW_SECONDS
        if clock is not None and clock.wall_seconds < _EARLIEST:
            date = dt.datetime.fromtimestamp(max(clock.wall_seconds, 0), dt.UTC).date()
            yield self.finding(_UNSET.format(date=date), evidence={"wall_seconds": clock.wall_seconds})
        elif clock is not None and stepped:
            message = _STEPPED.format(drift=clock.drift_seconds)
            yield self.finding(message, evidence={"drift_seconds": clock.drift_seconds})
        # A clock that jumped meanwhile says nothing of the server's.
        if folder is not None and folder.skew_seconds is not None and not stepped:
            skew = folder.skew_seconds
            if abs(skew) >= _SKEW_SECONDS:
                direction = "ahead" if skew > 0 else "behind"
                message = _SERVER.format(path=folder.path, skew=abs(skew), direction=direction)
                yield self.finding(message, where=at(folder), evidence={"skew_seconds": skew})
