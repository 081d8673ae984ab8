"""What is fuzzed: a target is a strategy of inputs and what must hold for each of them.

`test_fuzz.py` runs every target briefly, `scripts/fuzz.py` for as long as is wanted.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.fuzz.source_text import mutated, mutations, sources

from trainguard import run_preflight_checks, run_preflight_checks_batch
from trainguard.check import Options, check_job, check_paths
from trainguard.errors import EngineError, UnreadableInputError
from trainguard.facts.command import CommandFacts, read_command, starts_training
from trainguard.facts.diagnostics import diagnose_each
from trainguard.facts.source import notebook_source
from trainguard.findings import Finding, Report
from trainguard.report import FORMATS, render

# Of this process. What takes longer on one input was built to, and must be refused, not endured.
MOST_SECONDS = 10.0
_FIRST = ("JOB001", "JOB002", "JOB003", "JOB004", "JOB005")
_WITHOUT_ENGINE = Options(python_engine=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`check` raises AssertionError, or anything else, for an input that trainguard does not bear."""

    inputs: SearchStrategy[Any]
    check: Callable[[Any], None]

    def run(self, value: Any) -> float:
        """Checks one input. The seconds that this took; AssertionError where they were too many."""
        start = process_time()
        self.check(value)
        seconds = process_time() - start
        assert seconds < MOST_SECONDS, f"took {seconds:.1f} s"
        return seconds


# -- inputs -----------------------------------------------------------------------


def _json_values() -> SearchStrategy[Any]:
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)

    def nested(inner: SearchStrategy[Any]) -> SearchStrategy[Any]:
        return st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)

    return st.recursive(leaf, nested, max_leaves=6)


_WORDS = (
    "python -m pip install uv trl[vllm]>=1 -c 'import' bash -lc sh ; && || | > < << EOF $HF_TOKEN ${X:-y} $(date) `id` "
    "accelerate launch torchrun --nproc_per_node=4 train.py trl sft --config a.yaml hf jobs run upload -- -e A=B "
    "echo aGk= base64 -d cat >train.py curl https://x.y/z.py git clone wget if then fi for do done while \\ \" ' # ! "
    "docker uvx --with --from huggingface-cli login deepspeed nohup timeout 5 sudo env cd /app eval exec xargs tee "
    "set -e export % & ( ) { }"
).split()
_OPENINGS = ["$(", "(", "`", "{ ", "bash -c '", '"$(', "${x:-", "if a; then "]


def _commands() -> SearchStrategy[Any]:
    word = st.sampled_from([*_WORDS, "\nEOF\n"]) | st.text(max_size=6)
    line = st.lists(word, max_size=14).map(" ".join)
    inline = sources().map(lambda s: f"python -c '{s}'" if len(s) < 5000 else s)
    heredoc = sources().map(lambda s: f"cat > train.py <<'EOF'\n{s}\nEOF\npython train.py")
    encoded = sources().map(lambda s: base64.b64encode(s.encode("utf-8", "replace")).decode())
    piped = encoded.map(lambda s: f"echo {s} | base64 -d | python -")
    deep = st.tuples(st.sampled_from(_OPENINGS), line, st.integers(0, 300))
    nested = deep.map(lambda p: p[0] * p[2] + p[1])
    lines = st.lists(line | line | inline | heredoc | piped | nested, max_size=4).map("\n".join)
    return st.builds(mutated, lines, mutations()) | st.lists(word | line, max_size=8)


_STRINGS: dict[str, list[Any]] = {
    "operation": ["run", "scheduled run", "uv run", "logs", "cancel", ""],
    "timeout": ["30m", "2h", "1800", 1800, 0, -1, "0.5h", "1h30m", float("nan"), float("inf"), 10**400, True, "²h"],
    "hardware_flavor": ["a10g-large", "cpu-basic", "t4-small", "h200x8", "none-such", ["a10g-large"]],
    "image": ["python:3.12", "pytorch/pytorch", "vllm/vllm-openai@sha256:0", "https://hf.co/spaces/a/b"],
    "dependencies": [["trl", "torch>=2; os_name<'3'", "x @ https://y/z.whl", "-r a.txt", ""], "trl,peft", [None, 1]],
    "env": [{"A": "B", "HF_TOKEN": None}, ["A=B"], "A=B", {1: 2}],
    "secrets": [["HF_TOKEN"], {"HF_TOKEN": "$HF_TOKEN"}, "HF_TOKEN", True],
    "schedule": ["@daily", "* * * * *", "@never"],
    "script_args": [["--push_to_hub", "--output_dir", "~/x"], "--a 'b", [["a"]]],
    "python": ["3.12", "3", ">=3.10", "/usr/bin/python", 3.1, "3.99"],
    "volumes": [["hf://buckets/a/b:/data:rw"], [{"type": "bucket", "source": "a/b", "mount_path": "/data"}], "x:y:z:w"],
}
_SCRIPT_NAMES = ["train.py", "https://a.b/c.py", "../x\0y.py", "/"]
_OTHER_KEYS = ["namespace", "detach", "token_injected", "trackio_space_id", "labels", "x"]
_ALIASES = {"dependencies": "with", "hardware_flavor": "flavor", "secrets": "secret"}


@st.composite
def _jobs(draw: st.DrawFn) -> Any:
    job: dict[str, Any] = {}
    for key, values in _STRINGS.items():
        if draw(st.booleans()):
            name = _ALIASES.get(key, key) if draw(st.booleans()) else key
            job[name] = draw(st.sampled_from(values) | _json_values())
    if draw(st.booleans()):
        job["script"] = draw(sources() | st.sampled_from(_SCRIPT_NAMES) | _json_values())
    if draw(st.booleans()):
        job["command"] = draw(_commands() | _json_values())
    for key in draw(st.lists(st.sampled_from(_OTHER_KEYS), max_size=3)):
        job[key] = draw(_json_values())
    return job


_MAGICS = ["!pip install trl\\", "%%bash", "%cd x", "x = !ls", "%%time", "?x", "x??", "'''", "%env A=B"]


def _notebooks() -> SearchStrategy[str]:
    magic = st.sampled_from(_MAGICS)
    code = st.lists(magic | sources(), max_size=5).map("\n".join)
    kind = st.sampled_from(["code", "code", "markdown", None])
    cell = st.fixed_dictionaries({"cell_type": kind, "source": code | st.lists(code, max_size=3) | _json_values()})
    cells = st.lists(cell | _json_values(), max_size=5)
    document = cells.map(lambda c: {"cells": c}) | cells.map(lambda c: {"worksheets": [{"cells": c}]}) | _json_values()
    return st.builds(mutated, document.map(json.dumps), st.just([]) | mutations())


# -- what must hold ---------------------------------------------------------------


def check_arguments(arguments: Any) -> None:
    """Findings come, whatever is passed; the five documented checks come first."""
    _are_advice(run_preflight_checks(arguments))
    for findings in run_preflight_checks_batch([arguments, arguments, None]):
        _are_advice(findings)


def _are_advice(findings: Any) -> None:
    assert isinstance(findings, list)
    assert all(isinstance(finding, Finding) for finding in findings)
    failed = [f.message for f in findings if f.code is None and f.message.startswith("trainguard")]
    assert not failed, failed
    known = [f.code in _FIRST for f in findings]
    assert known == sorted(known, reverse=True), [f.code for f in findings]
    first = [f.code for f in findings if f.code in _FIRST]
    assert first == sorted(first, key=lambda code: _FIRST.index(code or "")), first
    for finding in findings:
        assert "\n" not in finding.message, finding.message
        json.dumps(finding.to_dict())


def check_source(text: str) -> None:
    """No rule fails on the script, alone or in a job, and every format can show what was found."""
    job = {"hardware_flavor": "a10g-large", "dependencies": ["trl"], "script_args": ["--push_to_hub"]}
    _are_sound(check_job({**job, "script": text + "\n"}, options=_WITHOUT_ENGINE))


def check_engine(texts: Sequence[str]) -> None:
    """The Python engine answers for every text of a batch."""
    answers = diagnose_each(texts)
    assert len(answers) == len(texts)
    for text, answer in zip(texts, answers, strict=True):
        assert not isinstance(answer, EngineError), f"{answer} for {text!r}"
        lines = text.count("\n") + text.count("\r") + 1
        assert all(1 <= found.line <= lines + 1 for found in answer), answer


def check_command(command: Any) -> None:
    """A command is read, or taken for none."""
    facts = read_command(command, {"X": "y"})
    if facts is not None:
        assert isinstance(facts, CommandFacts)
        starts_training(facts)
    _are_sound(check_job({"command": command, "image": "python:3.12"}, options=_WITHOUT_ENGINE))


def check_notebook(raw: str) -> None:
    """A notebook becomes Python text line by line, or is refused by name."""
    try:
        source = notebook_source(raw, "n.ipynb")
    except UnreadableInputError:
        return
    assert len(source.cell_starts) == len(source.cell_numbers) >= 1
    for line in (1, source.text.count("\n")):
        assert source.location(line).cell in source.cell_numbers
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "n.ipynb"
        path.write_text(raw, encoding="utf-8", errors="surrogatepass")
        _are_sound(check_paths([path], options=_WITHOUT_ENGINE))


def check_job_json(raw: str) -> None:
    """A job file is checked or refused by name, also where it lies in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(raw, encoding="utf-8", errors="surrogatepass")
        _are_sound(check_paths([path], options=_WITHOUT_ENGINE))
        _are_sound(check_paths([path.parent], options=_WITHOUT_ENGINE))


def _are_sound(reports: Sequence[Report]) -> None:
    failed = [f"{error.message}\n{error.traceback}" for report in reports for error in report.errors]
    assert not failed, "\n".join(failed)
    for output_format in FORMATS:
        render(reports, output_format)
    for report in reports:
        for finding in report.findings:
            assert finding == Finding.from_dict(finding.to_dict())


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str)


TARGETS: dict[str, Target] = {
    "arguments": Target(inputs=_jobs() | _jobs() | _json_values(), check=check_arguments),
    "source": Target(inputs=sources(), check=check_source),
    "engine": Target(inputs=st.lists(sources(), min_size=1, max_size=12), check=check_engine),
    "command": Target(inputs=_commands(), check=check_command),
    "notebook": Target(inputs=_notebooks(), check=check_notebook),
    "job-json": Target(
        inputs=st.builds(mutated, (_jobs() | st.lists(_jobs(), max_size=3)).map(_as_json), st.just([]) | mutations()),
        check=check_job_json,
    ),
}
