"""From all that is known of an attempt that ended to what it was. Pure, and never raises.

In this order: what trainguard itself asked for; a clean exit; the run's own last finding; the kernel's killer and
signals; then the exception or the last lines of the output, weighed with what the disk, the GPU and the mounts say.
What a program prints decides last: a training example can say anything.
"""

from __future__ import annotations

from trainguard.recovery import catalogue, signs
from trainguard.recovery.by_finding import STOPPING, Said, last_words
from trainguard.recovery.catalogue import Message
from trainguard.recovery.making import make
from trainguard.recovery.reading import Crash, cleaned, crash_of, last_lines
from trainguard.recovery.records import Evidence, Failure, Kind
from trainguard.recovery.weighing import Seen, weigh

_STOPPED = 75  # train/stopping.py: asked to stop, and can go on later
_INTERNAL = 3
# How a process ends that was asked to: cleanly, with 75, or by the signals that ask for it or end its patience.
_AS_ASKED = frozenset({0, _STOPPED, 129, 130, 137, 143})
_WORDS_OF_ITSELF = "trainguard itself failed"
_TAKEN = "another process trains into this folder"
_FENCED = "fence"


def classify(evidence: Evidence) -> Failure | None:
    """What an attempt ended with; None where it succeeded. Never raises: what cannot be read is `unknown`."""
    try:
        return _classify(evidence)
    except Exception as error:  # hostile or half-written evidence
        code = getattr(evidence, "exit_code", None)
        if code == 0 and getattr(evidence, "signal", None) is None:
            return None
        return Failure(
            kind="unknown",
            code="RUN022",
            why=f"the attempt failed, and what is known of it could not be read ({type(error).__name__})",
            fingerprint="unknown:unreadable",
            transient=True,
            source="exit status",
        )


def _classify(evidence: Evidence) -> Failure | None:
    code, number = signs.ending(evidence)
    lines = cleaned(evidence.tail)
    said = last_words(evidence.findings, lines)
    if evidence.result_saved and _complete(evidence):
        # All is done. What comes after it is the process's own end: a crash of a native library in the interpreter's
        # last moments, a stop that came too late, errors that were survived. Whoever asks reads the result back.
        return None
    if evidence.asked_by is not None:
        if code == 0 and _complete(evidence):
            return None
        asked = _asked(evidence, code)
        if asked is not None:
            return asked
    if code == 0:
        return _clean_exit(evidence, said, lines)
    if evidence.not_started is not None:
        return signs.not_started(evidence, evidence.not_started, lines)
    if code is None:
        return make(
            evidence, "killed", "RUN012", "it left no exit status: its machine or its supervisor ended", "status"
        )
    if evidence.machine_going_down and code in (_STOPPED, 129, 137, 143):
        return make(evidence, "preempted", "RUN012", "the machine is going down", "machine")
    if said is not None and number is None and said.code != "RUN022" and code not in (_STOPPED, 2, _INTERNAL):
        return _by_finding(evidence, said, lines)
    return _by_status(evidence, code, number, lines, said)


def _complete(evidence: Evidence) -> bool:
    planned, own = evidence.planned_steps, evidence.own_steps
    return planned is None or own is None or own >= planned


def _asked(evidence: Evidence, code: int | None) -> Failure | None:
    """What trainguard asked for. None where the attempt ended otherwise before it was heard."""
    by = evidence.asked_by
    if by == "hang":
        return _hung(evidence)
    if by in ("lease", "cancel") or code is None or code in _AS_ASKED:
        return make(evidence, "stopped", "RUN012", f"it was stopped on request ({by})", "request")
    return None


def _hung(evidence: Evidence) -> Failure:
    """It was ended because it stood still. Why it did is told where the machine says it."""
    if evidence.mount_gone:
        return make(evidence, "mount-gone", "SYS012", "it stood still while its mount did not answer", "mount")
    silent = f" for {evidence.silent_seconds:,.0f} s" if evidence.silent_seconds is not None else ""
    seen = Seen(evidence=evidence, code=None, number=None, lines=[], why=f"it gave no sign of life{silent}")
    lost = seen.gpu_lost()
    return lost if lost is not None else make(evidence, "hang", "RUN008", seen.why, "heartbeat")


def _clean_exit(evidence: Evidence, said: Said | None, lines: list[str]) -> Failure | None:
    planned, own = evidence.planned_steps, evidence.own_steps
    short = planned is not None and own is not None and own < planned
    if said is not None and said.code in STOPPING and (short or (planned is None and said.kind == "not-finite")):
        return _by_finding(evidence, said, lines)
    # The Trainer prints its summary when its loop has ended by itself, be it early on purpose (transformers 5.23,
    # trainer.py, `_finalize_training`: "train_runtime").
    if not short or any("train_runtime" in line for line in lines[-200:]):
        return None
    why = f"{own:,} of {planned:,} planned steps were made, though it exited cleanly"
    return make(evidence, "ended-early", "RUN026", why, "steps")


def _by_finding(evidence: Evidence, said: Said, lines: list[str]) -> Failure:
    """What the run itself has said, where the machine does not know better."""
    kind: Kind = said.kind
    code, why = said.code, said.message
    if evidence.mount_gone and kind in ("data", "config", "disk-error", "disk-full"):
        kind, code, why = "mount-gone", "SYS012", f"its mount is gone; the run said: {why}"
    if kind == "gpu-lost":
        seen = Seen(evidence=evidence, code=1, number=None, lines=lines, why=why)
        lost = seen.gpu_lost(code=code)
        if lost is not None:
            return lost
    return make(evidence, kind, code, why, f"finding {said.code}", said=said)


def _by_status(evidence: Evidence, code: int, number: int | None, lines: list[str], said: Said | None) -> Failure:
    crash = _crash(evidence, lines)
    message = _message(crash, lines, code, said)
    seen = Seen(evidence=evidence, code=code, number=number, lines=lines, crash=crash, message=message, said=said)
    if code == _STOPPED and number is None:
        if any(_FENCED in line.lower() for line in last_lines(lines, 5)):
            return make(evidence, "stopped", "RUN012", "another daemon has the file now", "fence")
        return make(evidence, "preempted", "RUN012", "it was asked to stop from outside, and stopped", "exit code 75")
    if number is None and code in (2, _INTERNAL):
        own = _of_itself(evidence, code, lines, seen)
        if own is not None:
            return own
    return weigh(seen)


def _crash(evidence: Evidence, lines: list[str]) -> Crash | None:
    if evidence.traceback:
        kept = crash_of(cleaned(str(evidence.traceback).split("\n")))
        if kept is not None:
            return kept
    return crash_of(lines)


def _message(crash: Crash | None, lines: list[str], code: int, said: Said | None) -> Message | None:
    if crash is not None:
        return catalogue.of_exceptions(
            [each.words for each in crash.chain], also=[each.words for each in crash.handled]
        )
    if said is not None and said.code == "RUN022":
        words = f"{said.evidence.get('exception', '')}: {said.evidence.get('message', '')}"
        return catalogue.of_exceptions([words])
    return next((found for line in last_lines(lines) if (found := catalogue.of_line(line, code))), None)


def _of_itself(evidence: Evidence, code: int, lines: list[str], seen: Seen) -> Failure | None:
    """Exit codes 2 and 3 of trainguard's own command line (docs/cli.md): wrong usage, and a fault of its own."""
    for line in last_lines(lines, 20):
        if not line.startswith("error: "):
            continue
        if _WORDS_OF_ITSELF in line and code == _INTERNAL:
            return make(evidence, "internal", "RUN022", line[len("error: ") :], "exit code 3")
        if _TAKEN in line:
            return make(evidence, "unknown", "SYS009", line[len("error: ") :], "exit code 2")
        if code == 2 and seen.crash is None:
            if evidence.mount_gone:
                return make(evidence, "mount-gone", "SYS012", f"its mount is gone: {line[len('error: ') :]}", "mount")
            return make(evidence, "config", "CFG004", line[len("error: ") :], "exit code 2")
    return None
