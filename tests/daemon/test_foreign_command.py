"""What is understood of a command that somebody else has written."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
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


PARSED = """import sys
from transformers import HfArgumentParser, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint
def main():
    parser = HfArgumentParser((TrainingArguments,))
    if len(sys.argv) == 2 and sys.argv[1].endswith(".json"):
        (training_args,) = parser.parse_json_file(json_file=sys.argv[1])
    else:
        (training_args,) = parser.parse_args_into_dataclasses()
    checkpoint = None
    if training_args.resume_from_checkpoint is not None:
        checkpoint = training_args.resume_from_checkpoint
    else:
        checkpoint = get_last_checkpoint(training_args.output_dir)
    Trainer(model=None, args=training_args).train(resume_from_checkpoint=checkpoint)
main()
"""
DECLARED = """import argparse
from transformers import Trainer, TrainingArguments
parser = argparse.ArgumentParser()
parser.add_argument("--out", default="declared")
parser.add_argument({flags}, {more})
args = parser.parse_args()
Trainer(model=None, args=TrainingArguments(output_dir=args.out)).train({given}args.again)
"""
FOUND = ("--resume_from_checkpoint", "{checkpoint}")


@pytest.mark.parametrize(
    "words",
    [
        ["python", "train.py", "--output_dir", "o"],
        ["/usr/bin/python3", "-u", "-X", "faulthandler", "train.py", "--output_dir=o"],
        ["uv", "run", "--with", "x", "train.py", "--output_dir", "o"],
        ["torchrun", "--nproc-per-node", "2", "train.py", "--output_dir", "o"],
        ["accelerate", "launch", "--num_processes", "1", "train.py", "--output_dir", "o"],
        ["python", "-m", "torch.distributed.run", "--nproc-per-node", "2", "train.py", "--output_dir", "o"],
        ["bash", "passes.sh", "--seed", "1"],
    ],
)
def test_the_option_of_a_parser_for_training_arguments(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "train.py").write_text(PARSED, encoding="utf-8")
    (tmp_path / "passes.sh").write_text('set -e\npython train.py --output_dir o "$@"\n', encoding="utf-8")
    command = understand(words, working_directory=tmp_path)
    assert (command.resume, command.resume_words, command.output_dir) == ("argument", FOUND, tmp_path / "o")
    assert not command.picks_newest
    assert command.again(tmp_path / "o/checkpoint-4", {}) == [*words, FOUND[0], str(tmp_path / "o/checkpoint-4")]


def test_a_file_with_all_options_takes_no_other(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text('{"output_dir": "j"}', encoding="utf-8")
    command = script(tmp_path, PARSED, "all.json")
    assert (command.resume, command.output_dir) == ("itself", tmp_path / "j")


@pytest.mark.parametrize("words", [["bash", "keeps.sh"], ["bash", "-c", "python train.py --output_dir o"]])
def test_words_that_a_shell_would_keep_are_not_added(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "train.py").write_text(
        PARSED.replace("else:\n        checkpoint = get_last", "elif 0:\n        x = no")
    )
    (tmp_path / "keeps.sh").write_text("python train.py --output_dir o\n", encoding="utf-8")
    assert understand(words, working_directory=tmp_path).resume == "no"


@pytest.mark.parametrize(
    ("flags", "more", "given", "found"),
    [
        ('"--again"', "default=None", "resume_from_checkpoint=", None),  # no name that says so
        ('"--resume"', 'dest="again"', "resume_from_checkpoint=", ("--resume", "{checkpoint}")),
        ('"-r", "--restart-from"', 'dest="again"', "", ("--restart-from", "{checkpoint}")),
        ('"--resume"', 'dest="again", action="store_true"', "resume_from_checkpoint=", ("--resume",)),
        ('"--checkpoint-dir"', "default=None", "trial=", None),  # it leads to something else
    ],
)
def test_the_option_of_its_own(
    tmp_path: Path, flags: str, more: str, given: str, found: tuple[str, ...] | None
) -> None:
    command = script(tmp_path, DECLARED.format(flags=flags, more=more, given=given))
    assert (command.resume, command.resume_words) == (("argument", found) if found else ("no", ()))
    assert command.output_dir == tmp_path / "declared"
    assert command.picks_newest == (found == ("--resume",))


def test_a_name_that_is_only_imported_resumes_nothing(tmp_path: Path) -> None:
    text = "from transformers.trainer_utils import get_last_checkpoint\n" + TRAINER.format(out="a", resume="")
    assert script(tmp_path, text).resume == "no"


TRL = importlib.util.find_spec("trl")
SCRIPTS = (
    sorted(
        path.stem
        for path in (Path(TRL.origin or "").parent / "scripts").glob("*.py")
        if TRL is not None and ".train(" in path.read_text(encoding="utf-8")
    )
    if TRL is not None
    else []
)


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("launched", ["trl {} --config all.yaml", "{python} -m trl.scripts.{} --config all.yaml"])
def test_the_scripts_of_trl(tmp_path: Path, name: str, launched: str) -> None:
    (tmp_path / "all.yaml").write_text(
        "output_dir: o\nper_device_train_batch_size: 4\ngradient_accumulation_steps: 2\n", encoding="utf-8"
    )
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}"}
    words = shlex.split(launched.format(name, python=sys.executable))
    command = understand(words, working_directory=tmp_path, environment=environment)
    assert (command.resume, command.resume_words, command.output_dir) == ("argument", FOUND, tmp_path / "o")
    assert (command.micro_batch, command.accumulation) == (4, 2)
    changed = command.again(None, {"batch_size": 2, "gradient_accumulation": 4})
    assert changed == [*words, "--per_device_train_batch_size", "2", "--gradient_accumulation_steps", "4"]


def test_trl_has_scripts() -> None:
    assert {"sft", "dpo", "grpo"} <= set(SCRIPTS)


@pytest.mark.parametrize("content", ["- 1", "a: [", "output_dir: 3", "\x00", "x: !!python/object:os.system {}"])
def test_a_configuration_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "all.yaml").write_text(content, encoding="utf-8")
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}"}
    command = understand(["trl", "sft", "--config", "all.yaml"], working_directory=tmp_path, environment=environment)
    assert (command.output_dir, command.micro_batch) == (None, None)


def test_an_argument_for_a_shells_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="TRAINGUARD_CHECKPOINT"):
        understand(["bash", "-c", "python train.py"], working_directory=tmp_path, resume_arg="--resume {checkpoint}")


@pytest.mark.parametrize("name", ["train.sh", "-c"])
def test_a_variable_in_the_text_is_a_way_to_resume(tmp_path: Path, name: str) -> None:
    text = "python own.py ${TRAINGUARD_CHECKPOINT:+--from $TRAINGUARD_CHECKPOINT}"
    (tmp_path / "train.sh").write_text(text, encoding="utf-8")
    words = ["bash", name] if name.endswith(".sh") else ["bash", name, text]
    command = understand(words, working_directory=tmp_path)
    assert command.resume == "variable"
    assert command.again(tmp_path, {}) == words
