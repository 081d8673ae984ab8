"""CFG001: there is no configuration, or it cannot be opened."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding, Location
from trainguard.rules._example_files import folder
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import message


class ConfigMissing(Rule):
    """The configuration is not there, or cannot be opened.

    *What it does*

    Looks for the file of the configuration: in a folder, for trainguard.toml, .yaml, .yml, .json and config.json. It
    must be a regular file of at most 256 KiB that may be read.

    *Why it costs you*

    A run without its configuration starts with the defaults of somebody else, or not at all.

    *Example*

    ```console
    $ trainguard check trainguard.tml
    ```

    *Use instead*

    ```console
    $ trainguard init
    $ trainguard check trainguard.toml
    ```
    """

    code = "CFG001"
    name = "config-missing"
    severity = "error"
    area = "config"
    needs = frozenset({"config"})

    VALID = (
        Example(files={"trainguard.toml": 'base_model = "org/name"\n'}, check={"source": "trainguard.toml"}),
        Example(
            files={"run/config.json": '{"base_model": "org/name"}'},
            check={"source": "run"},
            why="A folder stands for the configuration in it.",
        ),
    )
    INVALID = (
        Example(
            files={"trainguard.toml": 'base_model = "org/name"\n'},
            check={"source": "trainguard.tml"},
            findings=(
                (
                    None,
                    "trainguard.tml: there is no configuration at this path; name one, or let `trainguard init` write "
                    "one; did you mean trainguard.toml?",
                ),
            ),
        ),
        Example(
            files={"empty": folder()},
            check={"source": "empty"},
            findings=(
                (
                    None,
                    "empty: there is no configuration in this folder, neither trainguard.toml, trainguard.yaml, "
                    "trainguard.yml, trainguard.json nor config.json; name one, or let `trainguard init` write one",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config = subject.config
        if config is None:
            return
        for problem in config.of_kind("missing"):
            hint = f"; did you mean {config.nearest}?" if config.nearest else ""
            names = list(config.looked)
            where = (
                "at this path" if len(names) < 2 else f"in this folder, neither {', '.join(names[:-1])} nor {names[-1]}"
            )
            yield self.finding(
                f"{config.path}: there is no configuration {where}; name one, or let `trainguard init` write one{hint}",
                where=Location(config.path),
                fix=config.nearest or "trainguard init",
                evidence={"looked": names, "expected": problem.expected},
            )
        for problem in config.of_kind("unreadable"):
            yield self.finding(message(problem, config), where=Location(config.path))
