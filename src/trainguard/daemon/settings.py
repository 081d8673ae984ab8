"""What a daemon is told: its configuration, and the places that follow from it. One function for all commands."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainguard.errors import UsageError
from trainguard.facts.config.reading import read_config
from trainguard.facts.config.records import ConfigFacts
from trainguard.facts.config.schema import RunConfig

if TYPE_CHECKING:
    from trainguard.recovery.records import Limits

HOME = "queue"
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where a daemon works. All paths are absolute.

    `home` is its own folder, `lineage` the name of the chain of checkpoints in `output_dir`, `owner` this daemon among
    those that share a queue, `lock_folder` where its lock lies: in `home` itself, and with a database server, where
    several daemons share it, in a folder of its own.
    """

    config: Path
    facts: ConfigFacts
    run: RunConfig
    output_dir: Path
    home: Path
    inbox: Path
    lineage: str
    owner: str
    lock_folder: Path
    database_url: str | None = None

    def refuse_no_lineage(self) -> None:
        """Raises UsageError where no file would be trained on top of the one before, whatever the daemon does."""
        save = self.run.save
        wrong = 'save.resume = "never"' if save.resume == "never" else 'save.strategy = "no"'
        if save.resume == "never" or save.strategy == "no":
            raise UsageError(
                f"{self.config}: {wrong} would train each file on the base model and leave only the last one in the "
                'result; a daemon needs checkpoints: save.strategy = "steps" and save.resume = "auto", or one '
                "`trainguard train` a file with an output_dir of its own"
            )

    @property
    def own_files(self) -> dict[Path, str]:
        """What the configuration needs beside training files, and what each is: never to be taken from the inbox."""
        named = self.facts.named
        known = {
            "the model": named.base_model,
            "the tokenizer": named.tokenizer,
            "the evaluation data": named.eval_data,
        }
        given = {each.path: f"{role} of {self.config.name}" for role, each in known.items() if each and each.path}
        return {self.config: "the configuration of this daemon", **given}

    @property
    def limits(self) -> Limits:
        """What the recovery has to keep to."""
        from trainguard.recovery.records import Limits  # not for those who only look

        run = self.run
        steps = run.save.steps
        return Limits(
            retries=run.guard.retries,
            retry_delay_seconds=run.guard.retry_delay_seconds,
            batch_size=run.batch_size,
            gradient_accumulation=run.gradient_accumulation,
            eval_batch_size=run.eval.batch_size,
            save_steps=int(steps) if run.save.strategy == "steps" and steps and steps >= 1 else None,
        )


def read_daemon_settings(
    config: Path,
    *,
    environment: Mapping[str, str] | None = None,
    inbox: Path | None = None,
    database_url: str | None = None,
    name: str | None = None,
) -> Settings:
    """The configuration of a daemon; `inbox`, `database_url` and `name` go before what it says.

    Raises UsageError where there is none, or where a problem stands against it, with the first one and the command that
    lists all.
    """
    config = Path(os.path.abspath(config))
    facts = read_config(config, environment=os.environ if environment is None else environment)
    run, named = facts.run, facts.named
    if run is None or named.output_dir is None or named.inbox is None:
        raise UsageError(_refused(config, facts))
    output = Path(os.path.abspath(named.output_dir))
    home = output / HOME
    url = database_url if database_url is not None else run.queue.database_url
    owner = plain_name(name or socket.gethostname())
    box = Path(os.path.abspath(inbox if inbox is not None else named.inbox))
    _refuse_inbox(config, box, output, home)
    return Settings(
        config=config if config.is_file() or facts.path is None else Path(os.path.abspath(facts.path)),
        facts=facts,
        run=run,
        output_dir=output,
        home=home,
        inbox=box,
        lineage=str(output),
        owner=owner,
        lock_folder=home / "daemons" / owner if url is not None else home,
        database_url=url,
    )


def _refuse_inbox(config: Path, inbox: Path, output: Path, home: Path) -> None:
    """Raises UsageError for an inbox from which the daemon would take its own files, or a run's."""
    box, out, own = (Path(os.path.realpath(each)) for each in (inbox, output, home))
    if box in (out, own) or own in box.parents:
        raise UsageError(
            f"{config}: queue.inbox is {inbox}, where the daemon keeps its own files (output_dir is {output}); name a "
            "folder of its own for training files"
        )


def plain_name(text: str) -> str:
    """A name of letters, digits, dots and dashes, that is another one for every `text`."""
    plain = _PLAIN.sub("-", text).strip(".-")[:60]
    if plain == text:
        return plain
    return f"{plain or 'daemon'}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _refused(config: Path, facts: ConfigFacts) -> str:
    if not facts.problems:
        return f'{config}: names no output_dir; write output_dir = "out", where checkpoints and the queue will be'
    problem = facts.problems[0]
    what = f"{problem.field}: " if problem.field is not None else ""
    hint = f"; did you mean {problem.suggestion}?" if problem.suggestion else ""
    more = f" ({len(facts.problems) - 1} more: `trainguard config show {config}`)" if len(facts.problems) > 1 else ""
    return f"{config}: {what}got {problem.got}, expected {problem.expected}, because {problem.because}{hint}{more}"
