"""From the configuration to what the libraries take, and what is refused before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trainguard.errors import UsageError
from trainguard.facts.config.records import Reference
from trainguard.facts.config.schema import RunConfig
from trainguard.facts.config.schema_blocks import Evaluation, Lora
from trainguard.train.arguments import (
    Device,
    check_method,
    loading_arguments,
    lora_arguments,
    precision_of,
    sft_arguments,
)
from trainguard.train.model_card import model_card
from trainguard.train.setup import adapter, choose_loss, load_data, load_tokenizer, make_arguments

CPU, GPU, OLD_GPU = Device(), Device(cuda=True, bf16=True), Device(cuda=True)
MARKED = "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}"


def arguments(run: RunConfig, **more: Any) -> dict[str, Any]:
    given = {"output_dir": "out", "precision": "fp32", "assistant_only_loss": False, "device": CPU, **more}
    return sft_arguments(run, **given)


def test_every_field_arrives_at_the_name_that_trl_has(tmp_path: Path) -> None:
    run = RunConfig(
        base_model="b", max_length=77, packing=False, learning_rate=3e-4, scheduler="cosine_with_min_lr",
        scheduler_arguments={"min_lr_rate": 0.1}, warmup=0.1, batch_size=3, gradient_accumulation=5, epochs=2.5,
        max_steps=9, optimizer="adamw_torch", weight_decay=0.01, max_grad_norm=0.5, gradient_checkpointing=False,
        seed=7, logging_steps=4, eval=Evaluation(data="e", strategy="steps", steps=6, batch_size=2),
        trainer_arguments={"neftune_noise_alpha": 5.0, "trust_remote_code": False},
    )  # fmt: skip
    made = make_arguments(arguments(run, output_dir=str(tmp_path)))
    expected = {
        "max_length": 77, "learning_rate": 3e-4, "lr_scheduler_kwargs": {"min_lr_rate": 0.1}, "warmup_steps": 0.1,
        "per_device_train_batch_size": 3, "gradient_accumulation_steps": 5, "num_train_epochs": 2.5, "max_steps": 9,
        "weight_decay": 0.01, "max_grad_norm": 0.5, "activation_checkpointing": False, "seed": 7, "logging_steps": 4,
        "eval_steps": 6, "per_device_eval_batch_size": 2, "save_steps": 500, "save_total_limit": 3, "bf16": False,
        "fp16": False, "use_cpu": True, "report_to": [], "neftune_noise_alpha": 5.0, "logging_nan_inf_filter": False,
    }  # fmt: skip
    assert {name: getattr(made, name) for name in expected} == expected
    assert (made.lr_scheduler_type.value, made.optim.value) == ("cosine_with_min_lr", "adamw_torch")
    assert made.eval_strategy.value == "steps"


def test_evaluation_without_data_is_none() -> None:
    assert arguments(RunConfig(eval=Evaluation(strategy="steps")))["eval_strategy"] == "no"


def test_an_argument_that_trl_does_not_have_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"trainer_arguments\.neftune_noise_alfa.*did you mean neftune_noise_alpha"):
        make_arguments(arguments(RunConfig(trainer_arguments={"neftune_noise_alfa": 5})))
    with pytest.raises(UsageError, match="SFTConfig refuses the configuration"):
        make_arguments(arguments(RunConfig(optimizer="no_such_optimizer")))
    with pytest.raises(UsageError, match=r"trainer_arguments\.auto_find_batch_size: is set by trainguard"):
        arguments(RunConfig(trainer_arguments={"auto_find_batch_size": True}))


@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [
        ("auto", CPU, "fp32"),
        ("auto", GPU, "bf16"),
        ("auto", OLD_GPU, "fp32"),
        ("bf16", CPU, "bf16"),
        ("fp16", GPU, "fp16"),
    ],
)
def test_precision(asked: Any, device: Device, expected: str) -> None:
    assert precision_of(RunConfig(precision=asked), device) == expected


@pytest.mark.parametrize(("asked", "device"), [("fp16", CPU), ("bf16", OLD_GPU)])
def test_a_precision_that_the_machine_has_not(asked: Any, device: Device) -> None:
    with pytest.raises(UsageError, match="precision"):
        precision_of(RunConfig(precision=asked), device)


def test_qlora_needs_a_gpu_and_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="on a GPU, and this process computes on the CPU"):
        check_method(RunConfig(method="qlora"), CPU)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install bitsandbytes"):
        check_method(RunConfig(method="qlora"), GPU)
    check_method(RunConfig(method="lora"), CPU)


def test_trained_weights_are_loaded_in_32_bits_and_frozen_ones_in_those_of_the_computation() -> None:
    assert loading_arguments(RunConfig(), "bf16") == {"dtype": "float32"}
    assert loading_arguments(RunConfig(method="lora"), "bf16") == {"dtype": "bfloat16"}
    given = {"model_init_kwargs": {"dtype": "float16", "revision": "x"}}
    assert loading_arguments(RunConfig(trainer_arguments=given), "bf16") == {"dtype": "float16", "revision": "x"}


def test_the_adapter_is_pefts() -> None:
    run = RunConfig(method="lora", lora=Lora(r=8, alpha=8, target_modules=["q_proj"], use_rslora=True))
    made = adapter(run)
    assert made is not None
    assert {name: getattr(made, name) for name in ("r", "lora_alpha", "use_rslora")} == {
        "r": 8, "lora_alpha": 8, "use_rslora": True,
    }  # fmt: skip
    assert adapter(RunConfig()) is None
    assert lora_arguments(run)["modules_to_save"] is None


# -- what is learnt ------------------------------------------------------------


def tokenizer(template: str | None) -> Any:
    return SimpleNamespace(chat_template=template)


@pytest.mark.parametrize(
    ("asked", "template", "chats", "completion", "expected"),
    [
        (None, MARKED, True, False, True),
        (None, "{{ messages }}", True, False, False),
        (None, MARKED, True, True, False),
        (None, None, False, False, False),
        (False, MARKED, True, False, False),
        (True, MARKED, True, False, True),
    ],
)
def test_the_assistants_words_alone(
    asked: bool | None, template: str | None, chats: bool, completion: bool, expected: bool
) -> None:
    run = RunConfig(assistant_only_loss=asked)
    found = choose_loss(run, tokenizer(template), conversational=chats, completion=completion)
    assert found.assistant_only is expected
    assert found.why


def test_a_template_of_a_family_that_trl_knows_counts_as_marked() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl.chat_template_utils import qwen3_chat_template

    inner = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
    made.chat_template = qwen3_chat_template
    found = choose_loss(RunConfig(), made, conversational=True, completion=False)
    assert found.assistant_only
    assert "TRL's own version" in found.why


def test_what_cannot_be_learnt_is_refused_with_the_field_to_change() -> None:
    with pytest.raises(UsageError, match="chat_template: the tokenizer has none"):
        choose_loss(RunConfig(), tokenizer(None), conversational=True, completion=False)
    with pytest.raises(UsageError, match="does not mark the assistant's words"):
        choose_loss(RunConfig(assistant_only_loss=True), tokenizer("x"), conversational=True, completion=False)
    with pytest.raises(UsageError, match="the data are no chats"):
        choose_loss(RunConfig(assistant_only_loss=True), tokenizer(MARKED), conversational=False, completion=False)


# -- data ----------------------------------------------------------------------


def local(path: Path) -> Reference:
    return Reference(field="data", given=str(path), kind="local", path=path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_files_are_joined_in_their_order_and_known_by_their_content(tmp_path: Path) -> None:
    one = lines(tmp_path / "one.data", {"text": "1"})  # no extension that says so
    two = lines(tmp_path / "shards" / "b.jsonl", {"text": "3"})
    lines(tmp_path / "shards" / "a.jsonl", {"text": "2"})
    assert load_data([local(one), local(two.parent)])["text"] == ["1", "2", "3"]


def test_a_folder_of_two_formats_is_refused(tmp_path: Path) -> None:
    lines(tmp_path / "shards" / "a.jsonl", {"text": "1"})
    (tmp_path / "shards" / "b.csv").write_text("text\n2\n")
    with pytest.raises(UsageError, match="one folder of shards has one format"):
        load_data([local(tmp_path / "shards")])


def test_the_speakers_of_sharegpt_get_the_names_that_templates_know(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "id": "7"}
    found = load_data([local(lines(tmp_path / "s.jsonl", row))])
    assert found.column_names == ["messages"]
    assert [(each["role"], each["content"]) for each in found[0]["messages"]] == [("user", "a"), ("assistant", "b")]


def test_a_tokenizer_without_padding_is_refused_and_a_template_comes_from_its_file(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=inner).save_pretrained(tmp_path / "bare")
    with pytest.raises(UsageError, match="neither a pad_token nor an eos_token"):
        load_tokenizer(RunConfig(), str(tmp_path / "bare"), tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="a").save_pretrained(tmp_path / "good")
    (tmp_path / "chat.jinja").write_text(MARKED)
    found = load_tokenizer(RunConfig(chat_template="chat.jinja"), str(tmp_path / "good"), tmp_path)
    assert found.chat_template == MARKED
    with pytest.raises(UsageError, match=r"chat_template .*gone\.jinja: cannot be read"):
        load_tokenizer(RunConfig(chat_template="gone.jinja"), str(tmp_path / "good"), tmp_path)


def test_the_card_names_data_config_and_findings_and_no_secret() -> None:
    from trainguard.facts.config.schema_blocks import Alerts
    from trainguard.findings import Finding
    from trainguard.train.identity import DataFile, identify
    from trainguard.train.lineage import Start

    run = RunConfig(base_model="org/name", alerts=Alerts(webhook="https://hooks.example/SECRET"))
    identity = identify(run, [], [], effective_batch=8)
    file = DataFile(name="a|b.jsonl", bytes=5, xxh3_128="f" * 32, sha256="e" * 64)
    from dataclasses import replace

    card = model_card(
        run,
        replace(identity, files=(file,)),
        Start(kind="fresh"),
        name="mine",
        planned_steps=40,
        metrics={"eval_loss": 1.5},
        findings=[Finding("warn", "a plateau", code="RUN004", step=7)],
        libraries={"torch": "2.13"},
        base_on_hub="org/name",
    )
    assert card.startswith("---\nlibrary_name: transformers\nbase_model: org/name\n")
    for words in (
        "e" * 64,
        "warn RUN004 at step 7: a plateau",
        "| torch | 2.13 |",
        '"learning_rate"',
        "| eval_loss | 1.5 |",
    ):
        assert words in card
    assert "SECRET" not in card
    assert "a\\|b.jsonl" in card
