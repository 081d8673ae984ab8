"""CFG002: the configuration is no JSON, TOML or YAML."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.findings import Finding
from trainguard.rules._example_files import raw
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.config._wording import evidence, message, place


class InvalidJson(Rule):
    """The configuration is no JSON, TOML or YAML.

    *What it does*

    Reads the file by the format that its name says, and names the line, the column and the text that does not belong
    there. In JSON it goes on behind comments, trailing commas, single quotes and Python's True, so that one of them
    hides nothing else. YAML is read by version 1.2: `1e-5` is a number, `no` a word; tags construct nothing. A key that
    stands twice with different values is told here too.

    *Why it costs you*

    The run does not start, and the exception names an offset; or a reader takes the second of two values and says
    nothing.

    *Example*

    ```json
    {"base_model": "org/name", "batch_size": 8,}
    ```

    *Use instead*

    ```json
    {"base_model": "org/name", "batch_size": 8}
    ```
    """

    code = "CFG002"
    name = "invalid-json"
    severity = "error"
    area = "config"
    needs = frozenset({"config"})

    VALID = (
        Example(files={"run.json": '{"base_model": "org/name"}'}, check={"source": "run.json"}),
        Example(
            files={"run.yaml": "base_model: org/name\nlearning_rate: 1e-5\neval_strategy: no\n"},
            check={"source": "run.yaml"},
            why="YAML 1.2 takes 1e-5 for a number and no for a word.",
        ),
        Example(
            files={"run.json": raw(b'\xef\xbb\xbf{"base_model": "org/name"}', "with a byte order mark")},
            check={"source": "run.json"},
            why="Editors on Windows write one.",
        ),
    )
    INVALID = (
        Example(
            files={"run.json": '{\n  "base_model": "org/name", // the small one\n  "batch_size": 8,\n}\n'},
            check={"source": "run.json"},
            findings=(
                (
                    2,
                    "JSON at 2:29: got // the small one, expected no comment, because JSON has none; TOML and YAML do",
                ),
                (
                    3,
                    "JSON at 3:18: got a comma before }, expected no comma, because JSON has no comma after the last "
                    "part",
                ),
            ),
        ),
        Example(
            files={"run.toml": 'base_model = "org/name"\nmethod = lora\n'},
            check={"source": "run.toml"},
            findings=((2, 'TOML at 2:10: got lora, expected "lora", because a text stands in quotes in TOML'),),
        ),
        Example(
            files={"run.yaml": "base_model: org/name\nlora:\n\tr: 8\n"},
            check={"source": "run.yaml"},
            findings=((3, "YAML at 3:1: got a tab, expected spaces, because YAML is indented with spaces"),),
        ),
        Example(
            files={"run.json": '{"base_model": "org/name",\n "seed": 1,\n "seed": 2}'},
            check={"source": "run.json"},
            findings=(
                (
                    3,
                    "seed at 3:2: got the key a second time with another value, expected each key once, because it "
                    "stands at 2:2 already, and only one of the two can count",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        config = subject.config
        if config is None:
            return
        for problem in config.of_kind("invalid"):
            yield self.finding(
                message(problem, config), where=place(config, problem), fix=problem.expected, evidence=evidence(problem)
            )
