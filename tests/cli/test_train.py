"""`trainguard train` as users run it, on the example that it comes with."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.helpers import environment

from trainguard.cli import main

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/train"
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its model."""
    folder = tmp_path_factory.mktemp("example") / "run"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("base", "output", "__pycache__"))
    spec = importlib.util.spec_from_file_location("make_model", folder / "make_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make_model(folder / "base")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def train(
    folder: Path, *args: str, on_event: Callable[[dict[str, Any], subprocess.Popen[str]], None] | None = None
) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code, the events and what stood on stderr."""
    cache = {"HF_HOME": str(folder / "hf"), "HF_DATASETS_CACHE": str(folder / "hf/datasets")}
    command = [sys.executable, "-m", "trainguard", "train", "trainguard.toml", "--format", "json", *args]
    events = []
    with (folder / "stderr.txt").open("w+") as errors, subprocess.Popen(
        command, cwd=folder, env=environment(**OFFLINE, **cache), stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            events.append(json.loads(line))
            if on_event is not None:
                on_event(events[-1], process)
        code = process.wait(timeout=300)
    return code, events, (folder / "stderr.txt").read_text()


def of(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [each for each in events if each["event"] == name]


def test_a_run_is_stopped_resumed_complete_and_goes_on_with_the_next_file(folder: Path) -> None:
    asked = []

    def stop(event: dict[str, Any], process: subprocess.Popen[str]) -> None:
        if event["event"] == "metrics" and event["step"] >= 15 and not asked:
            asked.append(event["step"])
            process.send_signal(signal.SIGTERM)

    code, events, errors = train(folder, on_event=stop)
    assert code == 75, errors
    made = of(events, "end")[0]["steps"]
    assert 15 <= made < 40
    assert (folder / f"output/checkpoint-{made}/trainguard.json").is_file()
    assert not (folder / "output/final").exists()

    code, events, errors = train(folder)
    assert code == 0, errors
    begin = of(events, "plan")[0]["start"]
    assert (begin["kind"], begin["steps_made"]) == ("resume", made)
    assert of(events, "end")[0]["steps"] == 40
    assert not of(events, "finding")
    card = (folder / "output/final/README.md").read_text()
    import hashlib

    assert hashlib.sha256((folder / "train.jsonl").read_bytes()).hexdigest() in card
    assert any("eval_loss" in each["values"] for each in of(events, "metrics"))

    before = (folder / "output/final/trainguard.json").read_bytes()
    code, events, errors = train(folder)
    assert (code, of(events, "plan")[0]["start"]["kind"]) == (0, "complete")
    assert not of(events, "begin")
    assert (folder / "output/final/trainguard.json").read_bytes() == before

    code, events, errors = train(folder, "--set", "data=more.jsonl")
    assert code == 0, errors
    begin = of(events, "plan")[0]["start"]
    assert (begin["kind"], begin["step_before"], begin["file_number"]) == ("next", 40, 2)
    assert of(events, "end")[0]["steps"] == 20
    assert not of(events, "finding")  # a new warm-up on another file is no jump
    manifest = json.loads((folder / "output/final/trainguard.json").read_text())
    assert (manifest["step"], manifest["run"]["step_before"], manifest["run"]["planned_steps"]) == (60, 40, 20)


def test_an_adapter_and_a_result_that_was_lost_is_saved_again(folder: Path) -> None:
    lora = ["--set", "method=lora", "--set", "max_steps=4", "--set", "eval.strategy=no", "--set", "save.steps=2"]
    code, events, errors = train(folder, *lora)
    assert code == 0, errors
    assert (folder / "output/final/adapter_model.safetensors").is_file()
    shutil.rmtree(folder / "output/final")
    code, events, errors = train(folder, *lora)
    assert code == 0, errors
    assert not of(events, "begin")
    assert (folder / "output/final/adapter_model.safetensors").is_file()


def test_an_exception_is_classified_and_its_traceback_kept(folder: Path) -> None:
    # A row without an answer, which the check names and TRL ends with.
    with (folder / "train.jsonl").open("a") as file:
        file.write('{"messages": [{"role": "user", "content": "no answer"}]}\n')
    assert train(folder)[0] == 1
    assert not (folder / "output").exists()
    code, events, _ = train(folder, "--force", "DATA010")
    assert code == 1
    (finding,) = [each["finding"] for each in of(events, "finding")]
    assert finding["code"] == "RUN022"
    assert "while the data was tokenized" in finding["message"]
    assert "Traceback" in (folder / "output/trainguard/failure.txt").read_text()


@pytest.mark.parametrize("phase", ["load", "tokenize"])
def test_asked_to_stop_before_the_first_step_it_says_so(folder: Path, phase: str) -> None:
    def stop(event: dict[str, Any], process: subprocess.Popen[str]) -> None:
        if event["event"] == "phase" and event["name"] == phase:
            process.send_signal(signal.SIGTERM if phase == "load" else signal.SIGINT)

    code, events, errors = train(folder, on_event=stop)
    assert code == 75, errors
    words = "nothing was trained in this start; the same command begins at step 0, since there is no checkpoint yet"
    assert words in errors
    assert len(errors.splitlines()) == 1
    (stopped,) = of(events, "stopped")
    assert (stopped["code"], stopped["steps"], stopped["checkpoint"]) == (75, 0, None)
    assert words in stopped["words"]
    assert not of(events, "begin")


@pytest.mark.slow
def test_two_processes_speak_once_and_count_their_batches_together(folder: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    given = ["--set", "max_steps=4", "--set", "save.steps=2", "--set", "eval.strategy=no"]
    command = [*launch, "trainguard", "train", "trainguard.toml", "--format", "json", *given]
    cache = {"HF_HOME": str(folder / "hf"), "HF_DATASETS_CACHE": str(folder / "hf/datasets")}
    for kind in ("fresh", "complete"):
        done = subprocess.run(
            command, cwd=folder, env=environment(**OFFLINE, **cache), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        (plan,) = of(events, "plan")
        assert (plan["start"]["kind"], plan["plan"]["effective_batch"]) == (kind, 4)
        assert [each["steps"] for each in of(events, "end")] == [4]


# -- before anything is loaded, in this process ----------------------------------


def here(folder: Path, *args: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.chdir(folder)
    return main(["train", "trainguard.toml", *args])


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(each.relative_to(folder) for each in folder.rglob("*"))
    assert here(folder, "--dry-run", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    for words in ("40 examples", "40 (2 epochs)", "2 examples a step", "4 of them warm-up", "begins       anew"):
        assert words in out
    assert sorted(each.relative_to(folder) for each in folder.rglob("*")) == before


def test_the_log_of_findings_is_heard_again_after_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = logging.getLogger("trainguard.train.callback")
    before = list(heard.filters)
    assert here(folder, "--dry-run", monkeypatch=monkeypatch) == 0
    assert heard.filters == before


def test_a_dry_run_loads_neither_torch_nor_transformers(folder: Path) -> None:
    code = (
        "import sys; from trainguard.cli import main; code = main(['train', 'trainguard.toml', '--dry-run']); "
        "print(code, [name for name in ('torch', 'transformers', 'trl', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_an_error_stops_it_and_force_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (folder / "train.jsonl").open("a") as file:
        file.write('{"messages": [{"role": "user", "content": "no answer"}]\n')
    assert here(folder, "--dry-run", monkeypatch=monkeypatch) == 1
    out = capsys.readouterr().out
    assert "DATA002" in out
    assert "Not started: 1 error above" in out
    assert here(folder, "--dry-run", "--force", "DATA002", monkeypatch=monkeypatch) == 0
    assert "Plan" in capsys.readouterr().out
    assert here(folder, "--force", "DATA999", monkeypatch=monkeypatch) == 2
    assert "there is no such code" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--set", "learning_rate=-1", "--dry-run"], 1, "CFG004"),
        (["--set", "data=trian.jsonl", "--dry-run"], 1, "train.jsonl"),
        (["--set", "nothing", "--dry-run"], 2, "FIELD=VALUE"),
        (["--set", "learning_rat=1", "--dry-run"], 1, "CFG003"),
    ],
)
def test_a_wrong_configuration(
    args: list[str], code: int, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert here(folder, *args, monkeypatch=monkeypatch) == code
    captured = capsys.readouterr()
    assert words in captured.out + captured.err


def test_a_configuration_that_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["train", "trainguard.tml"]) == 2
    assert "did you mean trainguard.toml" in capsys.readouterr().err


def test_data_of_another_method_and_no_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"prompt": "a", "chosen": "b", "rejected": "c"}
    (folder / "pairs.jsonl").write_text("".join(json.dumps({**row, "prompt": str(n)}) + "\n" for n in range(40)))
    assert here(folder, "--set", "data=pairs.jsonl", "--dry-run", monkeypatch=monkeypatch) == 2
    assert "this is supervised fine-tuning" in capsys.readouterr().err
    text = (folder / "trainguard.toml").read_text().replace('data = "train.jsonl"\n', "")
    (folder / "trainguard.toml").write_text(text)
    assert here(folder, "--dry-run", monkeypatch=monkeypatch) == 2
    assert "names no data to train on" in capsys.readouterr().err


def test_a_tokenizer_without_a_template_is_told_before_anything_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "base/chat_template.jinja").unlink()
    assert here(folder, "--dry-run", monkeypatch=monkeypatch) == 2
    assert "chat_template" in capsys.readouterr().err


def test_without_the_libraries_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *more: None if name in ("torch", "trl") else real(name, *more)
    )
    assert here(folder, monkeypatch=monkeypatch) == 2
    assert 'training needs torch, trl, not installed here: pip install "trainguard[train]"' in capsys.readouterr().err
    assert not (folder / "output").exists()
