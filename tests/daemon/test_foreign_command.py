"""What is understood of a command that somebody else has written."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from trainguard.daemon.foreign_command import ForeignCommand, understand
from trainguard.errors import UsageError

TRAINER = """from trl import SFTConfig, SFTTrainer
trainer = SFTTrainer("m", args=SFTConfig(output_dir="{out}"), train_dataset=None)
trainer.train({resume})
"""


def script(folder: Path, text: str, *words: str, **options: object) -> ForeignCommand:
    (folder / "train.py").write_text(text, encoding="utf-8")
    return understand(["python", "train.py", *words], working_directory=folder, **options)  # type: ignore[arg-type]


def test_the_output_folder_is_read_off_the_script(tmp_path: Path) -> None:
    command = script(tmp_path, TRAINER.format(out="runs/a", resume=""))
    assert command.output_dir == tmp_path / "runs/a"
    assert command.told_by == "train.py"
    assert command.resume == "no"
    assert any("--resume-arg" in each for each in command.unguarded())


def test_the_command_line_goes_before_the_script_and_the_option_before_both(tmp_path: Path) -> None:
    text = TRAINER.format(out="a", resume="")
    assert script(tmp_path, text, "--output_dir", "b").output_dir == tmp_path / "b"
    assert script(tmp_path, text, "--output_dir=b", "--output-dir=c").output_dir == tmp_path / "c"
    assert script(tmp_path, text, "--output_dir", "b", output_dir=Path("d")).output_dir == tmp_path / "d"


def test_two_folders_are_none(tmp_path: Path) -> None:
    text = TRAINER.format(out="a", resume="") + TRAINER.format(out="b", resume="")
    command = script(tmp_path, text)
    assert command.output_dir is None
    assert any("--output-dir" in each for each in command.unguarded())


@pytest.mark.parametrize("resume", ["resume_from_checkpoint=True", "resume_from_checkpoint=get_last_checkpoint('a')"])
def test_a_script_that_resumes_itself(tmp_path: Path, resume: str) -> None:
    command = script(tmp_path, TRAINER.format(out="a", resume=resume))
    assert command.resume == "itself"
    assert command.again(tmp_path / "a/checkpoint-4", {}) == ["python", "train.py"]


@pytest.mark.parametrize("resume", ["resume_from_checkpoint=None", "resume_from_checkpoint=False", ""])
def test_a_script_that_does_not_resume(tmp_path: Path, resume: str) -> None:
    assert script(tmp_path, TRAINER.format(out="a", resume=resume)).resume == "no"


def test_the_resume_argument_names_the_checkpoint(tmp_path: Path) -> None:
    command = script(tmp_path, "x = 1\n", resume_arg="--resume_from_checkpoint {checkpoint}")
    assert command.again(tmp_path / "out/a b", {}) == [
        *("python", "train.py", "--resume_from_checkpoint"),
        str(tmp_path / "out/a b"),
    ]
    assert command.again(None, {}) == ["python", "train.py"]


def test_smaller_micro_batches_replace_the_words_that_name_them(tmp_path: Path) -> None:
    words = ("--per_device_train_batch_size", "8", "--gradient_accumulation_steps=2")
    command = script(tmp_path, "x = 1\n", *words)
    assert (command.micro_batch, command.accumulation, command.can_change_batch) == (8, 2, True)
    changed = command.again(None, {"batch_size": 4, "gradient_accumulation": 4})
    assert changed == ["python", "train.py", words[0], "4", "--gradient_accumulation_steps=4"]
    assert command.words[3] == "8"


@pytest.mark.parametrize(
    "words", [("--per_device_train_batch_size", "8"), ("--per_device_train_batch_size", "auto"), ()]
)
def test_a_batch_that_is_not_named_is_not_changed(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert not script(tmp_path, "x = 1\n", *words).can_change_batch


@pytest.mark.parametrize(
    "words",
    [
        ["accelerate", "launch", "--num_processes", "2", "train.py", "--output_dir", "o"],
        ["torchrun", "--nproc_per_node=2", "train.py", "--output_dir=o"],
        ["env", "A=1", "python", "-u", "train.py", "--output_dir", "o"],
    ],
)
def test_launchers(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "train.py").write_text(TRAINER.format(out="a", resume="resume_from_checkpoint=True"), encoding="utf-8")
    command = understand(words, working_directory=tmp_path)
    assert command.script == tmp_path / "train.py"
    assert command.resume == "itself"
    assert command.output_dir == tmp_path / "o"


@pytest.mark.parametrize("line", ["./a.out", "python missing.py", "python -m own", "bash -c 'x ('"])
def test_what_cannot_be_read_is_run_without_knowledge(tmp_path: Path, line: str) -> None:
    command = understand(shlex.split(line), working_directory=tmp_path)
    assert (command.output_dir, command.resume) == (None, "no")


def test_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no command"):
        understand([], working_directory=tmp_path)
    with pytest.raises(UsageError, match="resume-arg"):
        understand(["python"], working_directory=tmp_path, resume_arg="'")
    with pytest.raises(UsageError, match="is empty"):
        understand(["python"], working_directory=tmp_path, resume_arg=" ")
