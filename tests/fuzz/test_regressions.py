"""What the fuzzers and hostile scripts have found, each made small."""

from __future__ import annotations

import json
from time import process_time

import pytest
from tests.fuzz.targets import TARGETS

from trainguard.check import Options, check_job
from trainguard.facts.diagnostics import diagnose
from trainguard.facts.notebook import read_notebook
from trainguard.facts.script import read_script
from trainguard.findings import Report

_HEAD = "from trl import SFTConfig, SFTTrainer\n"
_TAIL = "SFTTrainer(args=SFTConfig('out', push_to_hub=x)).train()\n"

# Each took from ten seconds to minutes at this size; now less than one, of which a busy machine may make five.
_MOST_SECONDS = 5.0


def _check(**job: object) -> Report:
    (report,) = check_job(job, options=Options(python_engine=False))
    assert not report.errors
    return report


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("x = x.train()\n" * 2000, id="a name is bound thousands of times"),
        pytest.param("for i in d:\n    x = x.step(x)\n" * 1000, id="in loops"),
        pytest.param(
            "".join(f"class A{n}(A{n - 1}):\n    def m(self): self.y = self.x\nA{n}().m()\n" for n in range(500)),
            id="classes derive from each other in one long line",
        ),
        pytest.param("x = 1  # trainguard: ignore[JOB001] because\n" * 2000, id="every line is suppressed"),
        pytest.param("# trainguard: ignore[JOB001] because\n" * 20_000 + "x = 1\n", id="comments suppress one line"),
        pytest.param("".join(f"# trainguard: ignore[JOB{n}]\n" for n in range(5000)), id="unknown codes"),
        pytest.param("try:\n    x = f()\nexcept Exception:\n    x = None\n" * 1500, id="handlers"),
        pytest.param("\n" * 20_000 + "x = (\n", id="blank lines in front of what cannot be read"),
        pytest.param("def f(a=f()): return f(f)\n" * 1500 + "x = = 1\n" * 30, id="many repairs"),
    ],
)
def test_time_grows_with_the_text_and_not_faster(body: str) -> None:
    start = process_time()
    _check(script=_HEAD + body + _TAIL, hardware_flavor="a10g-large", dependencies=["trl"])
    assert process_time() - start < _MOST_SECONDS


def test_undefined_names_are_compared_a_few_times_only() -> None:
    script = "".join(f"x{n} = foo{n}(x{n - 1})\n" for n in range(1000))
    start = process_time()
    found = diagnose([script])[0]
    assert process_time() - start < _MOST_SECONDS
    assert len([each for each in found if each.kind == "undefined-name"]) > 900


@pytest.mark.parametrize("depth", [200, 1000, 5000])
def test_deep_nesting_in_an_f_string_that_only_newer_pythons_read(depth: int) -> None:
    found = diagnose([f"x = f'{{f'{{a}}'}}'\ny = f'{{{'{0:' * depth}1{'}' * depth}}}'\n"])[0]
    assert {each.kind for each in found} <= {"undefined-name", "syntax-error"}


def test_a_command_that_starts_many_scripts() -> None:
    start = process_time()
    report = _check(command="".join(f"python -c 'x = {n}  # {'word ' * 50}'\n" for n in range(400)))
    assert process_time() - start < _MOST_SECONDS
    assert report.unreadable is None


@pytest.mark.parametrize("text", ["  model=model,\n)\n", "\0", ")", "1 +", "    x = (\n  y\n"])
def test_a_text_without_any_statement_at_the_left_margin(text: str) -> None:
    script = read_script(text)
    assert script.syntax.error is not None
    assert script.syntax.unread.strip() == text.strip()
    _check(script=text + "\n")


def test_a_name_that_is_bound_too_often_is_unknown_and_not_its_last_value() -> None:
    config = "SFTConfig('out', push_to_hub=push)\n"
    few = _check(script=_HEAD + "push = False\npush = True\n" + config)
    many = _check(script=_HEAD + "push = False\n" * 200 + "push = True\n" + config)
    assert "JOB003" in [finding.code for finding in few.findings]
    assert "JOB003" not in [finding.code for finding in many.findings]


def test_a_magic_inside_a_long_string_is_text_and_one_behind_it_is_not() -> None:
    cell = 'x = """\n!pip install a\n"""\n' * 2000 + "!pip install trl\n# it's\n%env A=B\n"
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": cell}]})
    start = process_time()
    read = read_notebook(notebook)
    assert process_time() - start < _MOST_SECONDS
    assert [command for _, command in read.shell_lines] == ["pip install trl", "export A=B"]


def test_a_line_of_blanks_is_no_magic() -> None:
    cells = [{"cell_type": "code", "source": " " * 20_000 + "x"}]
    TARGETS["notebook"].run(json.dumps({"cells": cells}))
