"""`trainguard watch`: verdicts, exit codes, live output, pages, hostile runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.cli.helpers import environment, run, run_in_terminal

from trainguard.cli.watch import command
from trainguard.errors import UsageError
from trainguard.report.json_ import to_json
from trainguard.signals.watching import watch_metrics


def watch(*arguments: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(command, list(arguments), standalone_mode=False, input=stdin)
    if result.exception is not None:
        raise result.exception
    return result


def history(*losses: object, every: int = 10, **more: object) -> str:
    return "".join(
        json.dumps({"loss": loss, "step": every * (number + 1), "learning_rate": 1e-4, "grad_norm": 1.0, **more}) + "\n"
        for number, loss in enumerate(losses)
    )


HEALTHY = history(*(3 - number / 20 for number in range(30)))
BROKEN = history(*(3 - number / 20 for number in range(10)), *([float("nan")] * 4))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "healthy.jsonl").write_text(HEALTHY)
    (tmp_path / "broken.jsonl").write_text(BROKEN)
    return tmp_path


def test_a_healthy_run(here: Path) -> None:
    result = watch("healthy.jsonl", "--once", "--fail-on", "info")

    lines = result.stdout.splitlines()
    assert lines[0] == "healthy.jsonl: log file, sft (told from its metrics), 30 records, step 300"
    assert re.match(r"  loss +3 → 1.55 +█", lines[1])
    assert lines[-1] == "Nothing found in 30 records."
    assert result.return_value == 0


def test_a_broken_run(here: Path) -> None:
    result = watch("broken.jsonl", "--once")

    assert "step 110 error RUN001 loss-nan" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("1 error")
    assert result.return_value == 1


def test_what_may_fail_is_chosen(here: Path) -> None:
    assert watch("broken.jsonl", "--once", "--fail-on", "never").return_value == 0
    ignored = watch("broken.jsonl", "--once", "--ignore", "run001,RUN002")
    assert "RUN001" not in ignored.stdout


def test_json(here: Path) -> None:
    document = json.loads(watch("broken.jsonl", "--once", "--format", "json", "--declare", "max_steps=200").stdout)

    (report,) = document["reports"]
    assert document["version"] == 1
    assert document["summary"]["errors"] == 1
    assert report["findings"][0]["code"] == "RUN001"
    assert report["findings"][0]["step"] == 110
    assert report["run"]["declared"] == {"max_steps": 200}
    assert report["run"]["planned_steps"] == 200
    assert report["run"]["metrics"]["loss"]["not_finite"] == 4
    assert report["run"]["metrics"]["loss"]["last"] == "nan"


def test_json_lines_while_following(here: Path) -> None:
    done = run("watch", "-", "--format", "json", stdin=BROKEN)

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [next(iter(line)) for line in lines[:12]] == [*(["record"] * 11), "finding"]
    assert lines[10]["record"]["loss"] == "nan"
    assert lines[11]["finding"]["code"] == "RUN001"
    assert lines[-1]["summary"]["errors"] == 1
    assert done.returncode == 1
    assert done.stderr == ""


def test_a_run_that_is_piped_in(here: Path) -> None:
    done = run(
        "watch", "-", stdin="loading...\n" + "".join(f"{{'loss': '{3 - n / 10}', 'epoch': '1'}}\n" for n in range(9))
    )

    assert re.search(r"^\d\d:\d\d:\d\d epoch 1 · loss 2.2$", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1] == "Nothing found in 9 records."
    assert done.returncode == 0


def test_a_pipe_without_metrics(here: Path) -> None:
    done = run("watch", "-", stdin="loading...\n")

    assert "<stdin>: holds no metrics yet" in done.stderr
    assert done.returncode == 2


def test_its_own_json_lines_can_be_watched(here: Path) -> None:
    first = run("watch", "-", "--format", "json", stdin=BROKEN)
    second = run("watch", "-", "--format", "json", stdin=first.stdout)

    assert [line for line in second.stdout.splitlines() if "finding" in line[:12]] == [
        line for line in first.stdout.splitlines() if "finding" in line[:12]
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no run to watch"),
        (("broken.json", "--once"), "did you mean broken.jsonl?"),
        (("broken.jsonl", "--once", "--follow"), "leave one out"),
        (("broken.jsonl", "--once", "--declare", "max_step=3"), "did you mean max_steps?"),
        (("broken.jsonl", "--once", "--ignore", "DATA001"), "is no code of a run"),
        (("broken.jsonl", "--once", "--html", "no/such/page.html"), "its folder is not there"),
        (("broken.jsonl", "--once", "--html", "."), "is a folder"),
        (("empty.log", "--once"), "holds no metrics yet"),
        (("empty.log",), "holds no metrics yet"),
        (("broken.jsonl", "--config", "run.toml"), "--config run.toml"),
        (("broken.jsonl", "--config", "bad.toml"), "learning_rate is -1"),
    ],
)
def test_wrong_usage(here: Path, arguments: tuple[str, ...], said: str) -> None:
    (here / "empty.log").write_text("loading\n")
    (here / "bad.toml").write_text('base_model = "m"\ndata = "d.jsonl"\nlearning_rate = -1\n')

    with pytest.raises(UsageError) as caught:
        watch(*arguments, stdin="")
    assert said in str(caught.value)


def test_a_configuration_promises_and_sets_thresholds(here: Path) -> None:
    (here / "run.toml").write_text(
        'base_model = "m"\ndata = "d.jsonl"\nmax_steps = 400\nlearning_rate = 1e-4\nscheduler = "cosine"\n'
        'warmup = 0.05\nmethod = "lora"\n'
    )
    result = watch("healthy.jsonl", "--once", "--format", "json", "--config", "run.toml", "--declare", "beta=0.1")

    declared = json.loads(result.stdout)["reports"][0]["run"]["declared"]
    assert declared["max_steps"] == 400
    assert declared["lr_scheduler_type"] == "cosine"
    assert declared["warmup_steps"] == 20
    assert declared["peft"] is True
    assert declared["beta"] == 0.1


def test_the_page(here: Path) -> None:
    watch("broken.jsonl", "--once", "--html", "run.html")

    page = (here / "run.html").read_text()
    assert "default-src 'none'" in page
    assert page.count("<svg") == 3
    assert 'class="note error"' in page
    assert ">RUN001<" in page
    assert 'http-equiv="refresh"' not in page
    assert not re.search(r"<script|<link|<img|https?://(?!www\.w3\.org/2000/svg)", page)
    assert [each.name for each in here.glob(".run.html*")] == []


def test_hostile_texts_are_escaped(here: Path) -> None:
    name = "<b>\x1b[31mx"
    records = [
        {"event": "phase", "name": "<script>\x1b]0;title\x07"},
        *({"loss": 3 - n / 10, "step": n, name: 1.0, "samples": ["\x1b[2J"]} for n in range(9)),
    ]
    (here / "a\x1b[2Jb.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    result = watch("a\x1b[2Jb.jsonl", "--once", "--html", "page.html")

    assert "\x1b" not in result.stdout
    page = (here / "page.html").read_text()
    assert "<b>" not in page
    assert "<script" not in page
    assert "\x1b" not in page


def test_colours(here: Path) -> None:
    assert "\x1b" not in run("watch", "broken.jsonl", "--once", folder=here).stdout
    assert "\x1b[1;31m" in run("watch", "broken.jsonl", "--once", "--color", "always", folder=here).stdout
    assert (
        "\x1b[1;31m"
        not in run_in_terminal("watch", str(here / "broken.jsonl"), "--once", columns=90, env={"NO_COLOR": "1"})[1]
    )


def test_the_live_table(here: Path) -> None:
    (here / "run.log").write_text(BROKEN + "{'train_runtime': '0.45', 'train_loss': '2.9', 'epoch': '1'}\n")
    code, output = run_in_terminal("watch", str(here / "run.log"), "--declare", "max_steps=140", columns=200)

    assert code == 1
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
    assert "step 140 of 140 (100%)" in plain
    assert "Ctrl-C ends watching" in plain
    assert re.search(r"loss +nan +2.55 +3", plain)
    assert "step 110 error RUN001" in plain
    assert plain.splitlines()[-1].startswith("1 error")


class Live:
    """A watch of a log that is still written, in a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "live.log"
        self.output = folder / "output.txt"
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trainguard", "watch", str(self.log), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd=folder,
            )

    def write(self, text: str) -> None:
        with open(self.log, "a") as file:
            file.write(text)

    def says(self, text: str, *, within: float = 30) -> None:
        until = time.monotonic() + within
        while text not in self.output.read_text():
            assert time.monotonic() < until, self.output.read_text()
            assert self.process.poll() is None or text in self.output.read_text(), self.output.read_text()
            time.sleep(0.05)


@pytest.fixture
def live(here: Path) -> Iterator[Any]:
    started: list[Live] = []

    def start(*arguments: str) -> Live:
        started.append(Live(here, *arguments))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait()


def test_findings_come_as_they_are_justified(live: Any) -> None:
    watched = live("--follow", "--html", "live.html")
    watched.says("waiting: ")
    watched.write(HEALTHY)
    watched.says("step 300")
    watched.write(history(float("nan"), float("nan")).replace('"step": ', '"step": 3'))
    watched.says("RUN001")
    assert watched.process.poll() is None

    watched.process.send_signal(signal.SIGINT)
    assert watched.process.wait(timeout=20) == 1
    assert watched.output.read_text().splitlines()[-1].startswith("1 error")
    assert "RUN001" in (watched.log.parent / "live.html").read_text()


def test_it_ends_with_the_run(live: Any, here: Path) -> None:
    (here / "live.log").write_text(HEALTHY)
    watched = live()
    watched.says("step 300")
    watched.write("{'train_runtime': '0.45', 'train_loss': '2.9', 'epoch': '1'}\n")

    assert watched.process.wait(timeout=30) == 0
    assert watched.output.read_text().splitlines()[-1] == "Nothing found in 31 records."


def test_a_reader_that_goes_away_is_no_error(here: Path) -> None:
    (here / "long.jsonl").write_text(history(*(3.0 for _ in range(5000))))
    shell = f"{sys.executable} -m trainguard watch - --format json < long.jsonl | head -n 1"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=here, env=environment(), capture_output=True, timeout=60, check=False
    )

    assert b"Traceback" not in done.stderr
    assert done.stdout.count(b"\n") == 1


TRACES = sorted((Path(__file__).parents[1] / "traces" / "tuning").glob("*.jsonl"))


@pytest.mark.parametrize("path", TRACES[::12], ids=lambda path: path.stem)
def test_a_recorded_run_is_judged_as_watch_metrics_judges_it(path: Path) -> None:
    header, *records = (json.loads(line) for line in path.read_text().splitlines())
    expected = [each.to_dict() for each in watch_metrics(records, method=header["method"], declared=header["declared"])]

    document = json.loads(watch(str(path), "--once", "--format", "json").stdout)

    (report,) = document["reports"]
    assert report["run"]["method"] == header["method"]
    assert report["findings"] == json.loads(to_json(expected))


def test_a_guard_has_the_first_word(here: Path) -> None:
    """What the guard of the run has said is shown as it said it, and not once more."""
    folder = here / "out" / "trainguard"
    folder.mkdir(parents=True)
    finding = {"severity": "error", "message": "seen on the device", "code": "RUN001", "name": "loss-nan", "step": 101}
    (folder / "events.jsonl").write_text(json.dumps({"event": "finding", "t": 1.0, "finding": finding}) + "\n")
    records = [json.loads(line) for line in BROKEN.splitlines()]
    (here / "out" / "trainer_state.json").write_text(json.dumps({"log_history": records, "global_step": 140}))

    result = watch("out", "--once")

    assert result.stdout.count("RUN001") == 1
    assert "seen on the device" in result.stdout
    assert result.return_value == 1


def test_memory_is_bounded_for_long_logs(here: Path) -> None:
    """25 MB of log with 5,000 records: what is kept does not grow with it."""
    line = "{'loss': '2.345', 'grad_norm': '1.2', 'learning_rate': '2e-05', 'epoch': '0.1'}\n"
    with open(here / "long.log", "w") as file:
        file.writelines((line + "x" * 5000 + "\n") * 100 for _ in range(50))
    script = (
        "import resource, sys\nfrom trainguard.cli import main\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "main(['watch', 'short.log', '--once', '--fail-on', 'never'])\nbefore = peak()\n"
        "main(['watch', 'long.log', '--once', '--fail-on', 'never'])\n"
        "print((peak() - before) // 1024, file=sys.stderr)\n"
    )
    (here / "short.log").write_text(line * 10)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=here, env=environment(), capture_output=True, timeout=300, check=True
    )

    assert b"5,000 records" in done.stdout
    assert int(done.stderr.split()[-1]) < 12  # MB


def test_the_permissions_of_the_page_are_those_of_a_new_file(here: Path) -> None:
    watch("healthy.jsonl", "--once", "--html", "run.html")
    (here / "plain").touch()

    assert os.stat(here / "run.html").st_mode == os.stat(here / "plain").st_mode
