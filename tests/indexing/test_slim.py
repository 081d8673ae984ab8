"""What the index leaves out of model code, and that it says so."""

from __future__ import annotations

from trainguard.indexing.slim import slim
from trainguard.libraries.api.records import Class, Function, Interface, Module, Parameter, Release

TYPED = (Parameter("hidden", 1, None, "torch.Tensor"), Parameter("cache", 1, "None", "Cache | None"))
MODEL = "transformers.models.llama.modeling_llama"


def slimmed(definitions: dict[str, object]) -> dict[str, object]:
    interface = Interface(package="transformers", release=Release(version="5.0.0"), definitions=definitions)  # type: ignore[arg-type]
    return dict(slim(interface).definitions)


def test_model_code_keeps_names_and_parameters() -> None:
    found = slimmed(
        {
            MODEL: Module({"LlamaModel": "", "nn": "torch.nn"}),
            f"{MODEL}.LlamaModel": Class(bases=("a.B",), members=("forward", "layers"), has_init=True),
            f"{MODEL}.LlamaModel.forward": Function(TYPED, "method", taken=("labels",)),
        }
    )
    assert found[MODEL] == Module({"LlamaModel": ""}, partial=True)
    assert found[f"{MODEL}.LlamaModel"] == Class(bases=("a.B",), has_init=True, getattr=True)
    untyped = (Parameter("hidden"), Parameter("cache", 1, "None"))
    assert found[f"{MODEL}.LlamaModel.forward"] == Function(untyped, "method", taken=("labels",))


def test_the_table_of_a_package_of_models_is_kept() -> None:
    names = {"LlamaModel": f"{MODEL}.LlamaModel", "modeling_llama": ""}
    assert slimmed({"transformers.models.llama": Module(names)}) == {"transformers.models.llama": Module(names)}


def test_everything_else_is_kept_as_it_is() -> None:
    definitions: dict[str, object] = {
        "transformers.trainer": Module({"Trainer": "", "torch": "torch"}),
        "transformers.trainer.Trainer": Class(members=("model",)),
        "transformers.trainer.Trainer.train": Function(TYPED, "method"),
    }
    found = slimmed(definitions)
    assert all(found[path] is definition for path, definition in definitions.items())
