"""No silent skip: the hook of conftest.py, seen from outside on small suites of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py").read_text(encoding="utf-8")

SKIPS_ONE = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="no time")
def test_left_out():
    pass
"""
SKIPS_IN_BODY = """
import pytest

def test_gives_up():
    pytest.skip("no network")
"""
SKIPS_MODULE = """
import pytest
pytest.importorskip("a_module_that_nobody_has")

def test_never_seen():
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    return pytester


@pytest.mark.parametrize("source", [SKIPS_ONE, SKIPS_IN_BODY, SKIPS_MODULE], ids=["mark", "body", "module"])
def test_an_unexplained_skip_fails_the_run(suite: pytest.Pytester, source: str) -> None:
    suite.makepyfile(test_it=source)
    result = suite.runpytest()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped without a reason on the allowlist*", "test_it.py*add it with its reason*"])


def test_skips_in_worker_processes_count(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=SKIPS_IN_BODY, test_module=SKIPS_MODULE)
    result = suite.runpytest_subprocess("-n", "2")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines_random(["test_it.py::test_gives_up: no network*", "test_module.py: could not import*"])


@pytest.mark.parametrize("pattern", ["test_it.py::test_left_out", "test_it.py::*"], ids=["exact", "glob"])
def test_a_skip_on_the_allowlist_passes(suite: pytest.Pytester, pattern: str) -> None:
    suite.makepyfile(test_it=SKIPS_ONE)
    suite.path.joinpath("skip_allowlist.txt").write_text(f"# why\n\n{pattern} -- needs two GPUs\n", encoding="utf-8")
    result = suite.runpytest()
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=1, skipped=1)


def test_another_tests_entry_does_not_help(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=SKIPS_ONE)
    suite.path.joinpath("skip_allowlist.txt").write_text("test_it.py::test_runs -- needs a GPU\n", encoding="utf-8")
    assert suite.runpytest().ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("line", ["test_it.py::test_left_out", "test_it.py::test_left_out -- "])
def test_an_entry_without_a_reason_stops_the_run(suite: pytest.Pytester, line: str) -> None:
    suite.makepyfile(test_it=SKIPS_ONE)
    suite.path.joinpath("skip_allowlist.txt").write_text(line + "\n", encoding="utf-8")
    result = suite.runpytest()
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stderr.fnmatch_lines(["*skip_allowlist.txt line 1: expected `test id or glob -- reason`*"])


def test_an_expected_failure_is_no_skip(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it="import pytest\n\n@pytest.mark.xfail\ndef test_it():\n    assert False\n")
    assert suite.runpytest().ret == pytest.ExitCode.OK


def test_a_failing_run_keeps_its_exit_code(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=SKIPS_ONE + "\ndef test_wrong():\n    assert False\n")
    assert suite.runpytest().ret == pytest.ExitCode.TESTS_FAILED
