from __future__ import annotations

import pytest
from tests.facts.reading import options_of, shown

from trainguard.facts.command_line import CommandLine
from trainguard.facts.values import ABSENT, UNKNOWN, Choice, Constant, Value, choice, from_python, options

ARGPARSE = """
import argparse
p = argparse.ArgumentParser()
g = p.add_argument_group("x")
g.add_argument("--learning_rate", type=float, default=1)
p.add_argument("--n", type=int, default="5")
p.add_argument("--name")
p.add_argument("--push", action="store_true")
p.add_argument("--keep", action="store_false")
p.add_argument("--flag", action=argparse.BooleanOptionalAction, default=True)
p.add_argument("--parts", nargs="*", default=["a"])
p.add_argument("--many", action="append")
p.add_argument("-q", "--quiet", action="store_true")
p.add_argument("-b", type=int, default=1)
p.add_argument("--odd", type=parse_odd)
p.add_argument("--yes", type=str2bool)
p.add_argument("--must", required=True)
args = p.parse_args()
show(args.{name})
"""


def option(name: str, *words: str) -> Value:
    return shown(ARGPARSE.replace("{name}", name), words)[0]


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("learning_rate", (), 1),
        ("learning_rate", ("--learning_rate", "2"), 2.0),
        ("learning_rate", ("--learning_rate=3e-4",), 3e-4),
        ("n", (), 5),
        ("n", ("--n", "7", "train.json"), 7),
        ("name", (), None),
        ("name", ("--name", "10"), "10"),
        ("name", ("--name", "true"), "true"),
        ("push", (), False),
        ("push", ("--push",), True),
        ("keep", (), True),
        ("keep", ("--keep",), False),
        ("flag", (), True),
        ("flag", ("--no-flag",), False),
        ("parts", (), ["a"]),
        ("parts", ("--parts", "x", "y"), ["x", "y"]),
        ("quiet", ("-q",), True),
        ("yes", ("--yes", "false"), False),
    ],
)
def test_argparse_options_that_are_known(name: str, words: tuple[str, ...], expected: object) -> None:
    assert option(name, *words) == from_python(expected)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("learning_rate", ("--learn", "2")),  # an abbreviation
        ("b", ("-b5",)),
        ("many", ("--many", "a")),
        ("odd", ("--odd", "1")),
        ("yes", ("--yes", "perhaps")),
        ("must", ()),
        ("undeclared", ()),
    ],
)
def test_argparse_options_that_are_not_known(name: str, words: tuple[str, ...]) -> None:
    assert option(name, *words) is UNKNOWN


def test_without_a_command_line_a_default_is_one_of_two_possibilities() -> None:
    assert shown(ARGPARSE.replace("{name}", "n"), None) == [Choice((Constant(5), UNKNOWN))]


def test_parsers_and_branches_that_declare_one_option() -> None:
    two = "import argparse\n" + "".join(
        f"{p} = argparse.ArgumentParser()\n{p}.add_argument('--x', default={i})\n" for i, p in enumerate("pq")
    )
    assert shown(two + "a = q.parse_args()\nshow(a.x)\n") == [Constant(1)]
    branches = "import argparse\np = argparse.ArgumentParser()\nif a:\n    p.add_argument('--x', default=1)\n"
    branches += "else:\n    p.add_argument('--x', default=2)\nshow(p.parse_args().x)\n"
    assert shown(branches) == [choice([Constant(1), Constant(2)])]


def test_set_defaults_and_assignments_to_the_namespace() -> None:
    source = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--x', default=1)\n"
    assert shown(source + "p.set_defaults(x=2)\na = p.parse_args()\nshow(a.x)\na.x = 3\nshow(a.x)\n") == [
        Constant(2),
        Constant(3),
    ]
    assert shown(source + "a = vars(p.parse_args())\nshow(a['x'])\n", ("--x", "5")) == [Constant("5")]


TRL = """
from trl import SFTConfig, TrlParser, ScriptArguments, ModelConfig, SFTTrainer
def main(script_args, training_args):
    SFTTrainer("m", args=training_args).train()
if __name__ == "__main__":
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig))
    script_args, training_args, model_args = parser.parse_args_and_config()
    main(script_args, training_args)
"""
OWN = """
from dataclasses import dataclass, field
from transformers import HfArgumentParser, TrainingArguments, Trainer
@dataclass
class Mine(TrainingArguments):
    push_to_hub: bool = field(default=True)
(args,) = HfArgumentParser(Mine).parse_args_into_dataclasses()
Trainer(args=args).train()
"""


def test_dataclass_parsers() -> None:
    assert options_of(TRL, "push_to_hub", ("--push_to_hub", "--report_to", "wandb")) == [Constant(True)]
    assert options_of(TRL, "report_to", ("--report_to", "wandb")) == [Constant("wandb")]
    assert options_of(TRL, "hub_model_id", ("--push_to_hub",)) == [ABSENT]
    assert options_of(TRL, "hub_model_id", None) == [UNKNOWN]
    assert options_of(OWN, "push_to_hub") == [Constant(True)]
    assert options_of(OWN, "push_to_hub", ("--push_to_hub", "false")) == [Constant(False)]
    assert options_of(OWN, "push_to_hub", ("--no_push_to_hub",)) == [Constant(False)]


@pytest.mark.parametrize("words", [("--config", "c.yaml"), ("c.json",)])
def test_a_configuration_file_makes_what_is_not_given_unknown(words: tuple[str, ...]) -> None:
    assert UNKNOWN in options(options_of(TRL, "hub_model_id", words)[0])
    assert options_of(TRL, "hub_model_id", (*words, "--hub_model_id", "a/b")) == [Constant("a/b")]


def test_the_words_of_a_command_line() -> None:
    line = CommandLine(["--a", "1", "--b=x=y", "--c", "--d", "-1", "2", "--a", "3"])
    assert line.value("a") == Constant(3)
    assert line.value("b") == Constant("x=y")
    assert line.value("c") == Constant(True)
    assert line.value("d") == from_python([-1, 2])
    assert line.value("e") is ABSENT
