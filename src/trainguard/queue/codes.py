"""The codes of the daemon's files: their names and severities. They are a contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainguard.findings import Evidence, Finding, Fix, Location, Severity

QUEUE_CODES: Mapping[str, tuple[str, Severity]] = {
    "QUEUE001": ("vanished", "warn"),
    "QUEUE002": ("moved-while-processing", "warn"),  # error where the content in custody is another one
    "QUEUE003": ("duplicate-name", "warn"),  # info where the content differs and both go on
    "QUEUE004": ("symlink-loop", "warn"),
    "QUEUE005": ("awkward-name", "info"),
    "QUEUE006": ("wrong-extension", "warn"),
    "QUEUE007": ("nothing-to-retry", "info"),
    "QUEUE008": ("state-corrupt", "error"),
    "QUEUE009": ("starvation-averted", "info"),
    "QUEUE010": ("quarantined", "error"),
    "QUEUE011": ("still-being-written", "warn"),
}
# What each means, for `trainguard explain` and docs/daemon.md.
QUEUE_ABOUT: Mapping[str, str] = {
    "QUEUE001": "A file was deleted: out of the inbox before it was accepted, or out of custody. It is noted, and "
    "the next file goes on.",
    "QUEUE002": "A file was changed or moved while it was worked on. What trainguard holds is what was accepted; "
    "where that is not so any more, the file is not trained.",
    "QUEUE003": "The same content, or the same name, has come before. The same content is held (`trainguard queue "
    "release` trains it), the same name with other content is another file.",
    "QUEUE004": "A link that leads in a circle, or out of the inbox. It is never followed: put the file itself into "
    "the inbox.",
    "QUEUE005": "A name with blanks, quotes, newlines or bytes that are no UTF-8. It works; in custody it has a "
    "plain one.",
    "QUEUE006": "No training file by its name. It is left alone, and said once.",
    "QUEUE007": "There was nothing to try again.",
    "QUEUE008": "The queue's database was damaged or gone. It is kept beside, and built anew from the folders.",
    "QUEUE009": "A file of lower priority has waited for so long that it goes before one of a higher priority.",
    "QUEUE010": "Attempts at a file failed as often as the limits allow. It is put aside with its whole history; "
    "`trainguard queue retry` tries it once more.",
    "QUEUE011": "A file has been open for writing, or growing, for a long time, and is not accepted as long as it is.",
}
# What the machine does to the inbox and the custody; the names are those of the SYS rules.
_MACHINE_CODES: Mapping[str, tuple[str, Severity]] = {
    "SYS001": ("disk-low", "error"),
    "SYS002": ("inodes-low", "error"),
    "SYS003": ("not-writable", "error"),
    "SYS012": ("network-mount", "error"),
}


def queue_finding(
    code: str,
    message: str,
    *,
    severity: Severity | None = None,
    path: str | None = None,
    fix: str | Fix | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Finding:
    """A finding about the queue's files: name and severity filled in. Raises KeyError for another code.

    `path` is for people: give it through `names.shown`.
    """
    name, usual = QUEUE_CODES[code] if code in QUEUE_CODES else _MACHINE_CODES[code]
    return Finding(
        severity=severity or usual,
        message=message,
        code=code,
        name=name,
        where=Location(path=path) if path is not None else None,
        fix=Fix(fix) if isinstance(fix, str) else fix,
        evidence=Evidence(evidence or {}),
        docs=f"docs/daemon.md#{code.lower()}" if code in QUEUE_CODES else None,
    )


def duplicate_cause(name: str, earlier_id: int, earlier_name: str, earlier_state: str) -> str:
    """Why a file is held whose content is that of an earlier one (QUEUE003)."""
    from trainguard.queue.names import shown

    named = "under the same name" if name == earlier_name else f"as {shown(earlier_name)}"
    return (
        f"QUEUE003: the content is that of file {earlier_id}, accepted before {named} and now {earlier_state}; it "
        "is held, "
        "so that nothing is trained twice by accident: `trainguard queue release` with its number trains it all the "
        "same"
    )
