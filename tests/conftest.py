"""What all tests share: no test is skipped silently, and how long Hypothesis looks.

A skip is a test that says nothing, so the run fails on every skip that `skip_allowlist.txt` beside this
file does not name with a reason.
"""

from __future__ import annotations

import os
import signal
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ALLOWLIST = Path(__file__).with_name("skip_allowlist.txt")

# What a developer has added to an index of their own must not decide a test.
os.environ["TRAINGUARD_CACHE"] = str(Path(__file__).with_name("no-such-folder"))

# The models are tiny and the tests run in parallel: threads of torch would only be in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in the background with SIGINT ignored, and children inherit that: none could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without a deadline: a busy machine makes an example slow, which says nothing about the code.
_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("tests", deadline=None, derandomize="CI" in os.environ, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile("tests")


def allowed_skips(text: str) -> dict[str, str]:
    """The allowlist as pattern -> reason. Raises ValueError for a line without a reason."""
    allowed = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        pattern, separator, reason = line.partition(" -- ")
        if not separator or not reason.strip():
            raise ValueError(f"{ALLOWLIST.name} line {number}: expected `test id or glob -- reason`, got {line!r}")
        allowed[pattern.strip()] = reason.strip()
    return allowed


class SkipWatch:
    """Collects the skips of a run (of all workers, where there are several) and fails the run for them."""

    def __init__(self, allowed: dict[str, str]) -> None:
        self._allowed = allowed
        self.unexplained: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # An expected failure is reported as skipped too, but it ran.
        if not hasattr(report, "wasxfail"):
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not any(fnmatchcase(report.nodeid, pattern) for pattern in self._allowed):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.unexplained[report.nodeid] = reason.removeprefix("Skipped: ")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.unexplained and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unexplained:
            terminalreporter.section("skipped without a reason on the allowlist", red=True)
        for nodeid, reason in self.unexplained.items():
            terminalreporter.line(f"{nodeid}: {reason} (run it, or add it with its reason to {ALLOWLIST.name})")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker's reports reach the main process, which judges them
        allowed = allowed_skips(ALLOWLIST.read_text(encoding="utf-8")) if ALLOWLIST.exists() else {}
        config.pluginmanager.register(SkipWatch(allowed), "skip-watch")
