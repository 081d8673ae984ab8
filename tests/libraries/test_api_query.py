"""Questions to interfaces: re-exports, ancestors, constructors, forwarded keywords, and what other releases had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from trainguard.indexing.writer import LibraryHistory, write
from trainguard.libraries.api.index import Index
from trainguard.libraries.api.query import Found, Interfaces, Missing
from trainguard.libraries.api.records import (
    KEYWORD_ONLY,
    NOT_TAKEN,
    VAR_KEYWORD,
    Class,
    Definition,
    Deprecation,
    Function,
    Interface,
    Module,
    Parameter,
    Release,
)
from trainguard.libraries.api.signatures import Signature, Signatures
from trainguard.libraries.api.store import Store

SELF = Parameter("self")
REST = Parameter("kwargs", VAR_KEYWORD)


def method(*parameters: Parameter, **more: object) -> Function:
    return Function((SELF, *parameters), "method", **more)  # type: ignore[arg-type]


BASE_1: dict[str, Definition] = {
    "base": Module({"Args": "base.args.Args", "Trainer": "base.trainer.Trainer", "old_name": "", "nn": "torch.nn"}),
    "base.args": Module({"Args": ""}),
    "base.args.Args": Class(
        kind="dataclass",
        fields=(Parameter("out", 1, "None"), Parameter("evaluation", 1, "'no'"), Parameter("rate", 1, "1.0")),
        deprecations=(Deprecation("evaluation", "eval", True, "2.0"),),
    ),
    "base.trainer": Module({"Trainer": ""}),
    "base.trainer.Trainer": Class(members=("train", "state"), has_init=True),
    "base.trainer.Trainer.__init__": method(Parameter("model"), Parameter("tokenizer", 1, "None")),
    "base.trainer.Trainer.train": method(
        Parameter("resume", 1, "None"), REST, taken=("model_path",), refuses_rest=True
    ),
    "base.old_name": Function((Parameter("x"),)),
}
BASE_2: dict[str, Definition] = {
    "base": Module({"Args": "base.args.Args", "Trainer": "base.trainer.Trainer", "extra": ""}),
    "base.args": Module({"Args": ""}),
    "base.args.Args": Class(
        kind="dataclass",
        fields=(Parameter("out", 1, "None"), Parameter("eval", 1, "'no'"), Parameter("rate", 1, "1.0")),
    ),
    "base.trainer": Module({"Trainer": ""}),
    "base.trainer.Trainer": Class(members=("train", "state"), has_init=True),
    "base.trainer.Trainer.__init__": method(Parameter("model"), Parameter("processor", 1, "None")),
    "base.trainer.Trainer.train": method(Parameter("resume", 1, "None")),
    "base.extra": Module({"old_name": "", "late": ""}),
    "base.extra.old_name": Function((Parameter("x"),)),
}
TOP: dict[str, Definition] = {
    "top": Module(
        dict.fromkeys(["Config", "Sub", "Odd", "Model", "make", "M", "Fixed", "Late"], "")
        | {"loop": "top.loop2", "loop2": "top.loop"}
    ),
    "top.Config": Class(
        bases=("base.Args",),
        kind="dataclass",
        fields=(Parameter("rate", 1, "2e-5"), Parameter("length", 1, "None"), Parameter("key", KEYWORD_ONLY, "0")),
    ),
    "top.Sub": Class(bases=("base.Trainer",), has_init=True, members=("own",)),
    "top.Sub.__init__": method(Parameter("args", 1, "None"), REST, forwards=("super.__init__",)),
    "top.Odd": Class(bases=("?", "base.Trainer")),
    "top.Model": Class(has_init=True, members=("load",), bases=("torch.nn.Module",)),
    "top.Model.__init__": method(Parameter("config"), REST, forwards=("?",)),
    "top.Model.load": Function(
        (Parameter("cls"), Parameter("name"), REST), "classmethod", taken=("token",), forwards=("cls.",)
    ),
    "top.make": Function((Parameter("size"), REST), forwards=("base.Args",)),
    "top.M": Function(dynamic=True),
    "top.Fixed": Class(bases=("base.Args",), kind="dataclass", fields=(Parameter("out", NOT_TAKEN),)),
    "top.Late": Class(kind="dataclass", fields=(Parameter("a", 1, "1"),), members=("__post_init__",)),
    "top.Late.__post_init__": method(REST, forwards=("?",)),
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    histories = []
    releases: Mapping[str, Mapping[str, dict[str, Definition]]] = {
        "base": {"1.0": BASE_1, "1.1": BASE_1, "2.0": BASE_2},
        "top": {"0.1": TOP},
    }
    for name, versions in releases.items():
        history = LibraryHistory(name, name)
        for version, definitions in versions.items():
            history.add(Interface(package=name, release=Release(version=version), definitions=definitions))
        histories.append(history)
    path: Path = tmp_path_factory.mktemp("index") / "index.bin"
    write(path, histories)
    return Index([Store.open(path)])


def signatures(index: Index, base: str) -> Signatures:
    return Signatures(Interfaces(index, {"base": base, "top": "0.1"}))


def of(index: Index, base: str, path: str) -> Signature:
    found = signatures(index, base).of(path)
    assert found is not None
    return found


def test_a_re_export_leads_to_the_definition(index: Index) -> None:
    found = Interfaces(index, {"base": "2.0"}).find("base.Trainer")
    assert isinstance(found, Found)
    assert found.path == "base.trainer.Trainer"


@pytest.mark.parametrize(
    "path",
    [
        "other.Thing",  # not indexed
        "base.nn.Linear",  # another library behind it
        "top.loop",  # a circle of re-exports
        "top.Odd.what",  # an ancestor that cannot be told
        "top.Model.what",
        "base.Trainer.state.global_step",  # of an attribute nothing is recorded
    ],
)
def test_what_cannot_be_told_is_none(index: Index, path: str) -> None:
    assert Interfaces(index, {"base": "1.0", "top": "0.1"}).find(path) is None


def test_a_version_that_is_not_indexed_is_unknown(index: Index) -> None:
    assert Interfaces(index, {"base": "3.0"}).find("base.nothing") is None


def test_a_missing_name_is_told_with_its_past(index: Index) -> None:
    interfaces = Interfaces(index, {"base": "2.0"})
    missing = interfaces.find("base.old_name")
    assert missing == Missing("base", "old_name")
    assert isinstance(missing, Missing)
    past = interfaces.past(missing)
    assert (past.last, past.gone, past.added) == ("1.1", "2.0", None)
    assert interfaces.moved(missing) == "base.extra.old_name"


def test_a_name_that_comes_later(index: Index) -> None:
    interfaces = Interfaces(index, {"base": "1.0"})
    missing = interfaces.find("base.extra")
    assert isinstance(missing, Missing)
    past = interfaces.past(missing)
    assert (past.last, past.gone, past.added) == (None, None, "2.0")


def test_a_misspelt_name_has_a_neighbour(index: Index) -> None:
    interfaces = Interfaces(index, {"base": "2.0"})
    missing = interfaces.find("base.Trainr")
    assert isinstance(missing, Missing)
    assert interfaces.similar(missing) == "Trainer"
    assert not interfaces.past(missing)


def test_a_dataclass_takes_the_fields_of_its_bases_in_order(index: Index) -> None:
    config = of(index, "2.0", "top.Config")
    assert [parameter.name for parameter in config.parameters] == ["out", "eval", "rate", "length", "key"]
    rate = config.parameter("rate")
    assert rate is not None
    assert rate.default == "2e-5"
    assert not config.accepts("evaluation")
    assert of(index, "1.0", "top.Config").accepts("evaluation")


def test_a_field_that_is_not_initialised_is_not_taken(index: Index) -> None:
    assert [parameter.name for parameter in of(index, "2.0", "top.Fixed").parameters] == ["eval", "rate"]


def test_a_dataclass_that_takes_more_when_it_is_finished_is_open(index: Index) -> None:
    late = of(index, "2.0", "top.Late")
    assert late.is_open
    assert late.names("a")


def test_a_removed_argument_has_a_past_and_a_successor(index: Index) -> None:
    known = signatures(index, "2.0")
    past = known.past("top.Config", "evaluation")
    assert (past.package, past.last, past.gone) == ("base", "1.1", "2.0")
    notice = known.successor("top.Config", "evaluation", past)
    assert notice is not None
    assert (notice.new, notice.same) == ("eval", True)
    assert not known.past("top.Config", "evaluatoin")


def test_keywords_go_up_to_the_base(index: Index) -> None:
    sub = of(index, "2.0", "top.Sub")
    assert not sub.is_open
    assert sub.accepts("processor")
    assert sub.accepts("model")
    assert not sub.accepts("tokenizer")
    assert of(index, "1.0", "top.Sub").accepts("tokenizer")


def test_leftover_keywords_that_raise_close_a_callable(index: Index) -> None:
    old = of(index, "1.0", "base.Trainer.train")
    assert old.accepts("model_path")
    assert not old.accepts("modelpath")
    assert not of(index, "2.0", "base.Trainer.train").accepts("model_path")


def test_keywords_that_go_to_unknown_places_are_open(index: Index) -> None:
    load = of(index, "2.0", "top.Model.load")
    assert load.is_open
    assert load.names("token")
    assert load.names("config")
    assert not load.names("toekn")
    assert load.accepts("toekn")


def test_a_function_hands_its_keywords_to_a_constructor(index: Index) -> None:
    make = of(index, "2.0", "top.make")
    assert make.accepts("eval")
    assert not make.accepts("evaluation")
    assert [parameter.name for parameter in make.required] == ["size"]


@pytest.mark.parametrize("path", ["top.M", "top.Odd", "base.nothing", "other.Thing", "base"])
def test_no_signature_where_none_can_be_told(index: Index, path: str) -> None:
    assert signatures(index, "2.0").of(path) is None


def test_members_come_from_ancestors(index: Index) -> None:
    interfaces = Interfaces(index, {"base": "2.0", "top": "0.1"})
    found = interfaces.find("top.Sub.train")
    assert isinstance(found, Found)
    assert found.path == "base.trainer.Trainer.train"
    assert interfaces.find("top.Sub.own") is None
    assert interfaces.find("top.Sub.state") is None
    assert interfaces.find("top.Sub.nothing") == Missing("top.Sub", "nothing")
