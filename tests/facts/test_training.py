from __future__ import annotations

import pytest
from tests.facts.reading import options_of, training_of

from trainguard.facts.values import ABSENT, UNKNOWN, Choice, Constant, options

LOOP = "opt = torch.optim.AdamW(m.parameters())\nfor b in data:\n    loss = m(b)\n"


@pytest.mark.parametrize(
    "source",
    [
        "from trl import SFTTrainer as T\nT('m').train()",
        "import transformers as tf\ntf.Trainer(model=m).train(resume_from_checkpoint=True)",
        "from trl import DPOTrainer\nclass Mine(DPOTrainer): pass\nclass Yours(Mine): pass\nYours('m').train()",
        "from trl import SFTTrainer\nclass Run:\n    def __init__(self):\n        self.t = SFTTrainer('m')\n"
        "    def go(self):\n        self.t.train()\nRun().go()",
        "import trl\nfrom functools import partial\nmake = partial(trl.SFTTrainer, model='m')\nmake().train()",
        "from trl import SFTTrainer, DPOTrainer\nkinds = {'sft': SFTTrainer}\nkinds['sft']('m').train()",
        "from trl import SFTTrainer\ndef start(trainer):\n    trainer.train()\nstart(SFTTrainer('m'))",
        "from trl import SFTTrainer\nif (t := SFTTrainer('m')):\n    t.train()",
        "import trl\ngetattr(trl, 'SFTTrainer')('m').train()",
        "from helpers import make_trainer\ntrainer = make_trainer()\ntrainer.train()",
        LOOP + "    loss.backward()\n    opt.step()",
        LOOP + "    accelerator.backward(loss)\n    optimizer.step()",
        LOOP + "    scaler.scale(loss).backward()\n    scaler.step(opt)",
        "import lightning as L\nL.Trainer(max_epochs=1).fit(model)",
        "from unsloth import UnslothTrainer\nUnslothTrainer(model=m).train()",
    ],
)
def test_what_trains(source: str) -> None:
    training = training_of(source + "\n")
    assert training.trains
    assert training.entry is not None


@pytest.mark.parametrize(
    "source",
    [
        "model.train()\nmodel.eval()",
        "from transformers import Trainer\nTrainer(model=m).evaluate()",
        "from sklearn.svm import SVC\nSVC().fit(x, y)",
        "from tokenizers.trainers import BpeTrainer\ntokenizer.train(files, BpeTrainer())",
        "from trl import SFTTrainer\ndef never():\n    SFTTrainer('m').train()",
        "from trl import SFTTrainer\nif False:\n    SFTTrainer('m').train()",
        "# trainer.train()\nx = 'trainer.train()'",
        "loss.backward()",
        "env.step(action)\nloss.backward()",
    ],
)
def test_what_does_not_train(source: str) -> None:
    assert not training_of(source + "\n").trains


IMPORTS = "from transformers import Trainer, TrainingArguments\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = TrainingArguments('x', push_to_hub=True)", True),
        ("c = dict(push_to_hub=True)\na = TrainingArguments('x', **c)", True),
        ("a = TrainingArguments('x')\na.push_to_hub = True", True),
        ("a = TrainingArguments('x')\nsetattr(a, 'push_to_hub', True)", True),
        ("a = TrainingArguments('x')\nt = Trainer(args=a)\nt.args.push_to_hub = True", True),
        ("class C:\n    push = True\n    def kw(self):\n        return dict(push_to_hub=self.push)\n"
         "a = TrainingArguments('x', **C().kw())", True),
        ("class Mine(TrainingArguments):\n    push_to_hub: bool = True\na = Mine('x')", True),
        ("import yaml\nc = yaml.safe_load('t: {push_to_hub: true}')\na = TrainingArguments('x', **c['t'])", True),
        ("def on(a):\n    a.push_to_hub = True\na = TrainingArguments('x')\non(a)", True),
    ],
)  # fmt: skip
def test_options_that_are_known(source: str, expected: object) -> None:
    assert options_of(IMPORTS + source + "\n", "push_to_hub") == [Constant(expected)]


@pytest.mark.parametrize(
    "source",
    [
        "a = TrainingArguments('x', push_to_hub=False)\nif b:\n    a.push_to_hub = True",
        "def on(a):\n    a.push_to_hub = True\na = TrainingArguments('x', push_to_hub=False)\nif b:\n    on(a)",
        "import dataclasses as d\na = TrainingArguments('x', push_to_hub=False)\na = d.replace(a, push_to_hub=True)",
        "a = TrainingArguments('x', push_to_hub=False)\nb = TrainingArguments('y', push_to_hub=False)\n"
        "for c in (a, b):\n    c.push_to_hub = True",
    ],
)
def test_options_that_may_be_two_things(source: str) -> None:
    value = options_of(IMPORTS + source + "\n", "push_to_hub")[0]
    assert set(options(value)) == {Constant(False), Constant(True)}


def test_given_maybe_given_not_given_and_not_to_be_told() -> None:
    maybe = "c = {}\nif b: c['push_to_hub'] = True\na = TrainingArguments('x', **c)\n"
    assert options_of(IMPORTS + maybe, "push_to_hub") == [Choice((ABSENT, Constant(True)))]
    assert options_of(IMPORTS + "a = TrainingArguments('x', push_to_hub=None)\n", "push_to_hub") == [Constant(None)]
    assert options_of(IMPORTS + "a = TrainingArguments('x')\n", "push_to_hub") == [ABSENT]
    assert options_of(IMPORTS + "a = TrainingArguments('x', **load())\n", "push_to_hub") == [UNKNOWN]
    assert options_of(IMPORTS + "Trainer(args=make_args()).train()\n", "push_to_hub") == [UNKNOWN]
    assert options_of(IMPORTS + "Trainer(model=m).train()\n", "push_to_hub") == [ABSENT]
    setter = "a = TrainingArguments('x')\na.set_push_to_hub('a/b')\n"
    assert UNKNOWN in options(options_of(IMPORTS + setter, "push_to_hub")[0])
    loop = "a = TrainingArguments('x')\nfor k, v in o.items():\n    setattr(a, k, v)\n"
    assert UNKNOWN in options(options_of(IMPORTS + loop, "push_to_hub")[0])


def test_an_option_is_where_it_was_written() -> None:
    source = IMPORTS + "c = {\n    'push_to_hub': True,\n}\na = TrainingArguments('x', **c)\na.seed = 1\n"
    training = training_of(source)
    assert training.option("push_to_hub")[0].where.line == 3
    assert training.option("seed")[0].where.line == 6
