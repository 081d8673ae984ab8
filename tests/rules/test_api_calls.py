"""API001 to API005 against a small index that is made by hand; the rules' examples use the one that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.facts.test_api_calls import write_index
from trainguard.facts.api import ApiFacts
from trainguard.facts.job import read_job
from trainguard.facts.script import read_script
from trainguard.findings import Finding
from trainguard.libraries.api.index import Index
from trainguard.libraries.api.store import Store
from trainguard.libraries.resolution import Reason, Resolution
from trainguard.rules.api.deprecated_argument import DeprecatedArgument
from trainguard.rules.api.missing_argument import MissingArgument
from trainguard.rules.api.unknown_argument import UnknownArgument
from trainguard.rules.api.unknown_choice import UnknownChoice
from trainguard.rules.api.unknown_name import UnknownName
from trainguard.rules.base import Subject

RULES = (UnknownName(), UnknownArgument(), DeprecatedArgument(), MissingArgument(), UnknownChoice())


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    path: Path = tmp_path_factory.mktemp("index") / "index.bin"
    write_index(path)
    return Index([Store.open(path)])


class Checker:
    def __init__(self, index: Index) -> None:
        self.index = index

    def __call__(
        self,
        text: str,
        version: str = "5.0.0",
        why: str = "",
        by: str = "",
        arguments: tuple[str, ...] | None = None,
        path: str = "train.py",
    ) -> list[Finding]:
        script = read_script(text, path=path, arguments=arguments)
        job = read_job({"script": text})
        api = ApiFacts(script, job)
        reason = Reason(requirement=why or f"transformers=={version}", by=by)
        vars(api)["index"] = self.index
        vars(api)["resolution"] = Resolution(versions={"transformers": version}, why={"transformers": reason})
        subject = Subject(script=script, job=job, api=api)
        return [finding for rule in RULES for finding in rule.check(subject)]

    def messages(self, text: str, version: str = "5.0.0", why: str = "", by: str = "") -> list[str]:
        return [finding.message for finding in self(text, version, why, by)]


@pytest.fixture
def check(index: Index) -> Checker:
    return Checker(index)


def test_a_name_that_is_gone(check: Checker) -> None:
    text = "from transformers import AdamW\n"
    assert check.messages(text) == [
        "transformers 5.0.0 has no AdamW; it is gone since transformers 5.0.0 (last in 4.40.0); "
        "use from torch.optim import AdamW"
    ]
    assert check.messages(text, "4.40.0") == []


def test_a_range_says_what_pin_helps(check: Checker) -> None:
    (message,) = check.messages("from transformers import AdamW\n", why="transformers>=4.31", by="trl 0.9.6")
    assert message.startswith(
        "transformers 5.0.0 (the newest that trl 0.9.6 admits, with transformers>=4.31) has no AdamW"
    )
    assert message.endswith("or pin transformers<5.0.0")


def test_a_name_that_is_misspelt(check: Checker) -> None:
    assert check.messages("from transformers import TrainingArgument\n") == [
        "transformers 5.0.0 has no TrainingArgument; did you mean TrainingArguments?"
    ]


def test_an_argument_that_was_renamed(check: Checker) -> None:
    (finding,) = check("from transformers import TrainingArguments as T\nT('o', evaluation_strategy='no')\n")
    assert finding.message == (
        "TrainingArguments() does not take evaluation_strategy in transformers 5.0.0; it is gone since transformers "
        "5.0.0 (last in 4.40.0); write eval_strategy="
    )
    assert finding.fix is not None
    assert finding.fix.safe
    (edit,) = finding.fix.edits
    assert (edit.kind, edit.old, edit.new, edit.where.line) == (
        "rename-argument",
        "evaluation_strategy",
        "eval_strategy",
        2,
    )


def test_an_argument_that_comes_later(check: Checker) -> None:
    (message,) = check.messages(
        "from transformers import TrainingArguments as T\nT('o', eval_strategy='no')\n", "4.40.0"
    )
    assert message == (
        "TrainingArguments() does not take eval_strategy in transformers 4.40.0; it comes with transformers 5.0.0; "
        "pin transformers>=5.0.0"
    )


def test_an_argument_that_is_announced_to_go(check: Checker) -> None:
    text = "from transformers import TrainingArguments as T\nT('o', evaluation_strategy={})\n"
    (finding,) = check(text.format("'steps'"), "4.40.0")
    assert finding.code == "API003"
    assert finding.message == (
        "evaluation_strategy of TrainingArguments() is deprecated in transformers 4.40.0; transformers 5.0.0 takes it "
        "no longer; write eval_strategy="
    )
    assert check(text.format("None"), "4.40.0") == []


def test_a_default_that_is_written_out_fails_in_a_later_release_too(check: Checker) -> None:
    text = "from transformers import TrainingArguments as T\nT('o', {}={})\n"
    assert [f.code for f in check(text.format("evaluation_strategy", "'no'"), "4.40.0")] == ["API003"]
    assert check(text.format("epochs", "3"), "4.40.0") == []  # announced, and no release refuses it
    assert [f.severity for f in check(text.format("epochs", "4"), "4.40.0")] == ["info"]


def test_a_missing_argument(check: Checker) -> None:
    (message,) = check.messages("from transformers import TrainingArguments\nTrainingArguments(epochs=1)\n")
    assert message == "TrainingArguments() needs output_dir in transformers 5.0.0; give output_dir="
    assert check("from transformers import TrainingArguments\nTrainingArguments(*a, epochs=1)\n") == []


def test_too_many_positions(check: Checker) -> None:
    (message,) = check.messages("from transformers import Trainer\nTrainer(1, 2, 3)\n")
    assert message == (
        "Trainer() takes at most 2 arguments by position in transformers 5.0.0, and is given 3; name them"
    )


def test_an_open_callee_is_silent(check: Checker) -> None:
    assert check("from transformers import AutoModel\nAutoModel.from_pretrained('m', whatever=1)\n") == []


def test_an_option_of_a_command_line(check: Checker) -> None:
    text = (
        "from transformers import TrainingArguments\nfrom trl import TrlParser\n"
        "parser = TrlParser((TrainingArguments,))\n(args,) = parser.parse_args_and_config()\n"
    )
    (finding,) = check(text, arguments=("--output_dir", "o", "--evaluation_strategy", "no"))
    assert finding.message.startswith("TrlParser does not take --evaluation_strategy in transformers 5.0.0; it is gone")
    assert check(text, arguments=("--output_dir", "o", "--eval_strat", "no", "--epochs=2")) == []
    assert check(text) == []


def test_an_option_of_a_class_of_the_script_is_known(check: Checker) -> None:
    text = (
        "from dataclasses import dataclass\nfrom transformers import HfArgumentParser, TrainingArguments\n"
        "@dataclass\nclass Mine:\n    data: str = ''\n"
        "parser = HfArgumentParser((Mine, TrainingArguments))\n"
        "mine, args = parser.parse_args_into_dataclasses()\n"
    )
    assert [f.code for f in check(text, arguments=("--data", "x", "--dota", "y"))] == ["API001", "API002"]


def test_a_dict_for_a_parser(check: Checker) -> None:
    text = (
        "from transformers import TrainingArguments\nfrom trl import HfArgumentParser\n"
        "parser = HfArgumentParser(TrainingArguments)\n"
        "parser.parse_dict({'output_dir': 'o', 'evaluation_strategy': 'no'}%s)\n"
    )
    assert [finding.code for finding in check(text % "")] == ["API002"]
    assert check(text % ", allow_extra_keys=True") == []


def test_a_file_for_a_parser(check: Checker, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("output_dir: o\nkind: alfa\nepoch: 1\nenv:\n  A: b\n", encoding="utf-8")
    text = (
        "from transformers import TrainingArguments\nfrom trl import TrlParser\n"
        "(args,) = TrlParser([TrainingArguments]).parse_args_and_config()\n"
    )
    found = check(text, arguments=("--config", "a.yaml"), path=str(tmp_path / "train.py"))
    assert [finding.message for finding in found] == [
        "TrlParser does not take epoch (of a.yaml) in transformers 5.0.0; did you mean epochs?",
        "kind (of a.yaml) of TrlParser does not accept 'alfa' in transformers 5.0.0; did you mean 'alpha'?",
    ]
    assert check(text, arguments=("--config", "b.yaml"), path=str(tmp_path / "train.py")) == []


def test_an_attribute_of_a_configuration(check: Checker) -> None:
    text = (
        "from transformers import TrainingArguments\nargs = TrainingArguments('o')\nprint(args.evaluation_strategy)\n"
    )
    (finding,) = check(text)
    assert finding.message == (
        "TrainingArguments has no evaluation_strategy in transformers 5.0.0; it is gone since transformers 5.0.0 "
        "(last in 4.40.0); write eval_strategy"
    )
    assert finding.fix is not None
    assert finding.fix.edits[0].kind == "rename-attribute"
    assert check("from transformers import Trainer\nTrainer().of_a_callback\n") == []


def test_a_changed_copy(check: Checker) -> None:
    text = (
        "from dataclasses import replace\nfrom transformers import TrainingArguments\n"
        "args = TrainingArguments('o')\nargs = replace(args, evaluation_strategy='no')\n"
    )
    assert [(f.code, f.where.line if f.where else 0) for f in check(text)] == [("API002", 4)]


def test_a_partial(check: Checker) -> None:
    text = (
        "from functools import partial\nfrom transformers import TrainingArguments\n"
        "make = partial(TrainingArguments, evaluation_strategy='no')\nmake('o')\nmake(output_dir='o')\n"
    )
    assert [(f.code, f.where.line if f.where else 0) for f in check(text)] == [("API002", 3)]


def test_an_override_that_lacks_what_is_passed(check: Checker) -> None:
    text = (
        "from transformers import Trainer\nclass Mine(Trainer):\n"
        "    def compute_loss(self, model, inputs, return_outputs=False{}):\n        return 0\nMine()\n"
    )
    (message,) = check.messages(text.format(""))
    assert message == (
        "Mine.compute_loss() does not take num_items_in_batch, which Trainer passes to it since transformers 4.46.0, "
        "and the job has transformers 5.0.0; add num_items_in_batch=None or **kwargs to its parameters"
    )
    assert check(text.format(""), "4.40.0") == []
    assert check(text.format(", num_items_in_batch=None")) == []
    assert check(text.format(", **kwargs")) == []


def test_a_choice(check: Checker) -> None:
    text = "from transformers import TrainingArguments as T\nT('o', kind={})\n"
    (finding,) = check(text.format("'Alpha'"))
    assert (
        finding.message
        == "kind of TrainingArguments() does not accept 'Alpha' in transformers 5.0.0; did you mean 'alpha'?"
    )
    assert finding.fix is not None
    assert finding.fix.edits[0].new == "alpha"
    assert check(text.format("'beta' if x else 'gamma'")) == []
    assert check(text.format("None")) == []
    assert check(text.format("pick()")) == []
