"""The uses of libraries in a script, against a small index that is made here by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainguard.facts.api_calls import ApiCalls, BoundCall
from trainguard.facts.script import read_script
from trainguard.indexing.writer import LibraryHistory, write
from trainguard.libraries.api.index import Index
from trainguard.libraries.api.query import Interfaces, Missing
from trainguard.libraries.api.records import (
    VAR_KEYWORD,
    Class,
    Constant,
    Definition,
    Deprecation,
    Function,
    Interface,
    Module,
    Parameter,
    Release,
)
from trainguard.libraries.api.signatures import Signatures
from trainguard.libraries.api.store import Store

SELF = Parameter("self")


def fields(text: str) -> tuple[Parameter, ...]:
    """`output_dir epochs=3 **rest` as parameters."""
    found = []
    for word in text.split():
        name, _, default = word.partition("=")
        if name.startswith("**"):
            found.append(Parameter(name[2:], VAR_KEYWORD))
        else:
            found.append(Parameter(name, default=default or None))
    return tuple(found)


def transformers(version: str, definitions: dict[str, Definition]) -> Interface:
    return Interface(package="transformers", release=Release(version=version), definitions=definitions)


def release(version: str) -> Interface:
    old = version < "5"
    names = {"TrainingArguments": "transformers.args.TrainingArguments", "Trainer": "transformers.trainer.Trainer"}
    names |= {"AutoModel": "transformers.trainer.AutoModel", "args": "", "trainer": "", "__version__": ""}
    names |= {"AdamW": "transformers.trainer.AdamW"} if old else {}
    strategy = "evaluation_strategy='no'" if old else "eval_strategy='no'"
    definitions: dict[str, Definition] = {
        "transformers": Module(names),
        "transformers.__version__": Constant(repr(version)),
        "transformers.args": Module({"TrainingArguments": ""}),
        "transformers.args.TrainingArguments": Class(
            kind="dataclass",
            fields=(*fields(f"output_dir {strategy} epochs=3"), Parameter("kind", 1, "'a'", "str", ("alpha", "beta"))),
            deprecations=(Deprecation("evaluation_strategy", "eval_strategy", True, "5.0"), Deprecation("epochs"))
            if old
            else (),
        ),
        "transformers.trainer": Module({"Trainer": "", "AutoModel": "", **({"AdamW": ""} if old else {})}),
        "transformers.trainer.Trainer": Class(has_init=True, members=("train", "model", "__init__")),
        "transformers.trainer.Trainer.__init__": Function((SELF, *fields("model=None args=None")), "method"),
        "transformers.trainer.Trainer.train": Function((SELF, *fields("resume_from_checkpoint=None")), "method"),
        "transformers.trainer.AutoModel": Class(members=("from_pretrained",)),
        "transformers.trainer.AutoModel.from_pretrained": Function(
            (Parameter("cls"), *fields("name **kwargs")), "classmethod", forwards=("?",)
        ),
    }
    passed = "" if old else " num_items_in_batch=None"
    loss = Function((SELF, *fields(f"model inputs return_outputs=False{passed}")), "method")
    definitions["transformers.trainer.Trainer.compute_loss"] = loss
    if old:
        definitions["transformers.trainer.AdamW"] = Class(has_init=True)
        definitions["transformers.trainer.AdamW.__init__"] = Function((SELF, *fields("params lr=0.1")), "method")
    return transformers(version, definitions)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    path = tmp_path_factory.mktemp("index") / "index.bin"
    write_index(path)
    return Index([Store.open(path)])


def write_index(path: Path) -> None:
    history = LibraryHistory("transformers", "transformers")
    for version in ("4.40.0", "5.0.0"):
        history.add(release(version))
    write(path, [history])


class Reader:
    def __init__(self, index: Index) -> None:
        self.index = index

    def __call__(self, text: str, version: str = "5.0.0") -> ApiCalls:
        return ApiCalls(read_script(text), Signatures(Interfaces(self.index, {"transformers": version})))

    def one(self, text: str, version: str = "5.0.0") -> BoundCall:
        (bound,) = self(text, version).calls
        return bound

    def missing(self, text: str, version: str = "5.0.0") -> list[str]:
        """The paths that are not there and that nothing guards."""
        calls = self(text, version)
        found = [use for use in calls.names if isinstance(calls.interfaces.find(use.path), Missing)]
        return [use.path for use in found if not calls.guarded(use.node, use.kind)]

    def given(self, text: str, version: str = "5.0.0") -> list[str]:
        """The names of the certain arguments of the calls that nothing guards."""
        calls = self(text, version)
        return [
            given.name
            for bound in calls.calls
            for given in calls.given(bound)
            if not calls.guarded(given.keyword or bound.call.node, "call")
        ]


@pytest.fixture
def read(index: Index) -> Reader:
    return Reader(index)


# -- calls ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("from transformers import TrainingArguments as T\nT('out')", "transformers.TrainingArguments"),
        ("import transformers as tf\ntf.TrainingArguments('out')", "transformers.TrainingArguments"),
        ("import transformers\ntransformers.args.TrainingArguments('o')", "transformers.args.TrainingArguments"),
        ("from transformers import *\nTrainingArguments('out')", "transformers.TrainingArguments"),
        (
            "from transformers import AutoModel\nAutoModel.from_pretrained('m')",
            "transformers.AutoModel.from_pretrained",
        ),
    ],
)
def test_a_call_is_bound_by_name(read: Reader, text: str, path: str) -> None:
    assert read.one(text).targets[0].path == path


def test_a_method_of_a_known_object_is_bound(read: Reader) -> None:
    calls = read("from transformers import Trainer\ntrainer = Trainer()\ntrainer.train(model_path='x')").calls
    assert [bound.name for bound in calls] == ["Trainer", "Trainer.train"]


def test_a_method_through_self_and_a_function_is_bound(read: Reader) -> None:
    text = (
        "from transformers import Trainer\n"
        "def make():\n    return Trainer()\n"
        "class Run:\n    def __init__(self):\n        self.trainer = make()\n"
        "    def go(self):\n        self.trainer.train(1)\n"
        "Run().go()\n"
    )
    assert "Trainer.train" in [bound.name for bound in read(text).calls]


def test_the_constructor_of_a_base_is_bound(read: Reader) -> None:
    text = (
        "from transformers import Trainer\nclass Mine(Trainer):\n"
        "    def __init__(self, model):\n        super().__init__(model=model, tokenizer=None)\nMine(None)\n"
    )
    (bound,) = read(text).calls
    assert bound.targets[0].path == "transformers.Trainer"


def test_fields_of_a_derived_dataclass_are_taken(read: Reader) -> None:
    text = (
        "from dataclasses import dataclass\nfrom transformers import TrainingArguments\n"
        "@dataclass\nclass Mine(TrainingArguments):\n    extra: int = 0\nMine('out', extra=1, other=2)\n"
    )
    target = read.one(text).targets[0]
    assert target.accepts("extra")
    assert not target.accepts("other")


def test_a_class_with_its_own_constructor_is_not_bound(read: Reader) -> None:
    text = "from transformers import Trainer\nclass Mine(Trainer):\n    def __init__(self, x): ...\nMine(x=1)\n"
    assert read(text).calls == ()


def test_a_class_with_two_bases_is_not_bound(read: Reader) -> None:
    text = "from transformers import Trainer\nfrom mixins import M\nclass Mine(M, Trainer): ...\nMine(x=1)\n"
    assert read(text).calls == ()


def test_a_partial_is_bound_and_not_whole(read: Reader) -> None:
    text = "from functools import partial\nfrom transformers import TrainingArguments\npartial(TrainingArguments, a=1)"
    bound = read.one(text)
    assert not bound.is_whole
    assert [given.name for given in read(text).given(bound)] == ["a"]


def test_a_choice_of_callables_is_bound_only_if_all_are(read: Reader) -> None:
    text = "from transformers import Trainer\nimport other\nT = Trainer if flag else other.Trainer\nT(x=1)\n"
    assert read(text).calls == ()


@pytest.mark.parametrize(
    "text",
    [
        "from transformers import Trainer\nTrainer.__init__ = mine\nTrainer(x=1)",
        "import unsloth\nfrom transformers import Trainer\nTrainer(x=1)",
        "from other import Trainer\nTrainer(x=1)",
        "from .transformers import Trainer\nTrainer(x=1)",
        "if False:\n    from transformers import Trainer\n    Trainer(x=1)",
    ],
)
def test_what_is_replaced_foreign_or_dead_is_not_bound(read: Reader, text: str) -> None:
    assert read(text).calls == ()


def test_spread_arguments_are_given_only_where_certain(read: Reader) -> None:
    head = "from transformers import TrainingArguments\n"
    assert read.given(head + "c = {'x': 1}\nTrainingArguments(**c)") == ["x"]
    assert read.given(head + "c = dict(x=1)\nif f():\n    c['y'] = 2\nTrainingArguments(**c)") == ["x"]
    assert (
        read.given(head + "c = {'x': 1}\nc = {k: v for k, v in c.items() if k in known}\nTrainingArguments(**c)") == []
    )
    assert (
        read.given(
            head + "c = {'x': 1}\nfor k in list(c):\n    if k not in f:\n        c.pop(k)\nTrainingArguments(**c)"
        )
        == []
    )


# -- guards --------------------------------------------------------------------

GUARDED = [
    "try:\n    from transformers import AdamW\nexcept ImportError:\n    AdamW = None",
    "try:\n    from transformers import AdamW\nexcept Exception:\n    from torch.optim import AdamW",
    "try:\n    import torch\nexcept ImportError:\n    from transformers import AdamW",
    "import contextlib\nwith contextlib.suppress(ImportError):\n    from transformers import AdamW",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from transformers import AdamW",
    "import transformers\nif hasattr(transformers, 'AdamW'):\n    transformers.AdamW",
    "import transformers\nx = transformers.AdamW if hasattr(transformers, 'AdamW') else None",
    "import transformers\nx = hasattr(transformers, 'AdamW') and transformers.AdamW",
    "import transformers\nfrom packaging import version\n"
    "if version.parse(transformers.__version__) < version.parse('4.50'):\n    from transformers import AdamW",
    "from importlib.metadata import version\nfrom packaging.version import Version\n"
    "OLD = Version(version('transformers')) < Version('4.50')\nif OLD:\n    from transformers import AdamW",
    "import transformers\nif transformers.__version__.startswith('4'):\n    from transformers import AdamW",
    "from transformers.utils import is_torch_available\nif is_torch_available():\n    from transformers import AdamW",
    "import transformers\ndef f():\n    if int(transformers.__version__[0]) >= 5:\n        return None\n"
    "    return transformers.AdamW\nf()",
    "import transformers\ndef old():\n    from transformers import AdamW\n"
    "if transformers.__version__ < '5':\n    old()",
    "import transformers\ntransformers.AdamW = object\ntransformers.AdamW",
    "import transformers\ndef f(x: transformers.AdamW): ...\nf(1)",
    "def never():\n    from transformers import AdamW",
]


@pytest.mark.parametrize("text", GUARDED)
def test_guards_silence(read: Reader, text: str) -> None:
    assert [path for path in read.missing(text) if path.endswith("AdamW")] == []


NOT_GUARDED = [
    "from transformers import AdamW",
    "import transformers\ntransformers.AdamW",
    "try:\n    from transformers import AdamW\nexcept ImportError:\n    raise SystemExit('install transformers')",
    "try:\n    from transformers import AdamW\nexcept ValueError:\n    pass",
    "import transformers\nif args.fast:\n    from transformers import AdamW",
    "import transformers\nfrom packaging import version\n"
    "if version.parse(transformers.__version__) >= version.parse('4.50'):\n    from transformers import AdamW",
]


@pytest.mark.parametrize("text", NOT_GUARDED)
def test_what_is_no_guard_does_not(read: Reader, text: str) -> None:
    assert read.missing(text) == ["transformers.AdamW"]
    assert read.missing(text, "4.40.0") == []


def test_a_type_error_that_is_caught_is_a_guard(read: Reader) -> None:
    text = (
        "from transformers import TrainingArguments as T\n"
        "try:\n    a = T('o', eval_strategy='no')\nexcept TypeError:\n    a = T('o', evaluation_strategy='no')\n"
    )
    assert read.given(text) == []


def test_a_handler_around_the_whole_run_is_no_guard(read: Reader) -> None:
    body = "".join(f"    step({n})\n" for n in range(4))
    text = (
        "from transformers import TrainingArguments as T\ntry:\n" + body + "    a = T('o', x=1)\n"
        "except Exception as error:\n    print(error)\n"
    )
    assert read.given(text) == ["x"]


def test_overrides(read: Reader) -> None:
    text = "from transformers import Trainer\nclass Mine(Trainer):\n    def train(self): ...\nMine()\n"
    (override,) = read(text).overrides
    assert (override.owner, override.base, override.name) == ("Mine", "transformers.Trainer", "train")
