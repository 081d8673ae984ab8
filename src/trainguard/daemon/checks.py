"""Is a file fit to be trained on? Asked before any model is loaded, in a process of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainguard.daemon.aside import Aside, Said
from trainguard.daemon.settings import Settings
from trainguard.facts.config.records import Reference

# The slowest reading that is still work and not a hang: gzip on one core with all rows tokenized, 1 MB/s.
_SLOWEST_BYTES = 1_000_000
_LEAST_SECONDS = 900.0
_EXIT_FINDINGS, _EXIT_USAGE = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the check of a file came to.

    `fit` None: the check itself failed, `why` says how; the run checks the same once more, so that the file goes on.
    `findings` are plain values (`Finding.to_dict()`), those of severity error first.
    """

    fit: bool | None
    why: str
    findings: tuple[dict[str, Any], ...] = ()


def begin_check(path: Path, size: int, settings: Settings) -> Aside:
    """Starts the check of one file: the same rules and values as the run itself would have."""
    return Aside(check_command(path, settings), deadline_seconds=max(_LEAST_SECONDS, size / _SLOWEST_BYTES))


def check_command(path: Path, settings: Settings) -> list[str]:
    run, named = settings.run, settings.facts.named
    command = [sys.executable, "-m", "trainguard", "data", str(path), "--report", "json", "--isolated"]
    command += ["--max-length", str(run.max_length)] if run.max_length else []
    command += ["--batch-size", str(run.batch_size * run.gradient_accumulation)]
    tokenizer = _folder(named.tokenizer) or _folder(named.base_model)
    if tokenizer is not None and (tokenizer / "tokenizer.json").is_file():
        command += ["--tokenizer", str(tokenizer)]
    if (evaluation := _folder(named.eval_data)) is not None and evaluation.exists():
        command += ["--eval", str(evaluation)]
    return command


def read_verdict(said: Said, name: str) -> Verdict:
    """What the check of the file called `name` said."""
    if said.timed_out:
        return Verdict(fit=None, why=f"{name}: its check took too long and was given up; the run itself checks it")
    findings = _findings(said.output)
    if findings is None or said.exit_code not in (0, _EXIT_FINDINGS, _EXIT_USAGE):
        words = said.error.rpartition("\n")[2] or f"it ended with {said.exit_code}"
        return Verdict(fit=None, why=f"{name}: its check failed ({words}); the run itself checks it")
    errors = [each for each in findings if each.get("severity") == "error"]
    others = [each for each in findings if each.get("severity") != "error"]
    if errors:
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        why = f"{errors[0].get('code')} {errors[0].get('message')}{more}"
        return Verdict(fit=False, why=why, findings=(*errors, *others))
    return Verdict(fit=True, why="nothing stands against it", findings=tuple(others))


def _findings(output: bytes) -> list[dict[str, Any]] | None:
    """All findings of a report in JSON; None where it is none."""
    try:
        reports = json.loads(output)["reports"]
        return [finding for report in reports for finding in report["findings"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _folder(reference: Reference | None) -> Path | None:
    return reference.path if reference is not None and reference.kind == "local" else None
