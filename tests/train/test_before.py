"""The checks before the first step: silent on healthy trainers of TRL, and one fault each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tests.train.tiny_runs import codes, lora, model, rows, trainer
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from trainguard.train.actions import NotReadyError
from trainguard.train.before import adapter, owned, placed, planned, schedule_steps, trainable
from trainguard.train.callback import GuardCallback
from trainguard.train.declared import declared_by, method_of
from trainguard.train.labels import sampled_batches
from trainguard.train.ready import assert_ready

pytestmark = [
    # peft 0.21 and trl 1.16 still use old names of transformers 5.23.
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing(_disable|_enable)?` is deprecated:FutureWarning"),
    # Of torch, transformers and trl themselves, on a CPU.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

WORDS = "the cat dog sat ran on a mat hill red blue who where is it user assistant says and then".split()
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ' says ' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + ' </s>' }}{% endgeneration %}{% else %}{{ message['content'] + ' ' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'assistant says ' }}{% endif %}"
)


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    names = ["<unk>", "<s>", "</s>", "<pad>", *WORDS]
    inner = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        **{"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", **special},
    )
    made.chat_template = TEMPLATE
    return made


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def options(output: Path, **more: Any) -> dict[str, Any]:
    return {
        "output_dir": str(output),
        "max_steps": 3,
        "per_device_train_batch_size": 2,
        "logging_steps": 1,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        **more,
    }


TEXTS = [f"the {a} {b} on a {c} </s>" for a in ("cat", "dog") for b in ("sat", "ran") for c in ("mat", "hill")]
PAIRS = [
    {"prompt": f"who {b}", "chosen": f" the {a} ", "rejected": " it"} for a in ("cat", "dog") for b in ("sat", "ran")
]


def sft(output: Path, guard: Any, **more: Any) -> Any:
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        model=model(),
        args=SFTConfig(**options(output, max_length=32, **more)),
        train_dataset=Dataset.from_list([{"text": text} for text in TEXTS]),
        processing_class=tokenizer(),
        callbacks=[guard],
    )


def sft_chat(output: Path, guard: Any) -> Any:
    from trl import SFTConfig, SFTTrainer

    data = [chat(f"where is the {a}", f"on a {c}") for a in ("cat", "dog") for c in ("mat", "hill")]
    return SFTTrainer(
        model=model(),
        args=SFTConfig(**options(output, max_length=32, assistant_only_loss=True)),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer(),
        callbacks=[guard],
    )


def sft_packed_lora(output: Path, guard: Any) -> Any:
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        model=model(),
        args=SFTConfig(**options(output, max_length=16, packing=True, packing_strategy="wrapped")),
        train_dataset=Dataset.from_list([{"text": text} for text in TEXTS * 4]),
        processing_class=tokenizer(),
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]),
        callbacks=[guard],
    )


def dpo(output: Path, guard: Any) -> Any:
    from trl import DPOConfig, DPOTrainer

    return DPOTrainer(
        model=model(),
        ref_model=model(),
        args=DPOConfig(**options(output)),
        train_dataset=Dataset.from_list(PAIRS * 2),
        processing_class=tokenizer(),
        callbacks=[guard],
    )


def kto(output: Path, guard: Any) -> Any:
    from trl import KTOConfig, KTOTrainer

    data = [
        {"prompt": each["prompt"], "completion": each["chosen"], "label": index % 2 == 0}
        for index, each in enumerate(PAIRS * 2)
    ]
    return KTOTrainer(
        model=model(),
        ref_model=model(),
        args=KTOConfig(**options(output)),
        train_dataset=Dataset.from_list(data),
        processing_class=tokenizer(),
        callbacks=[guard],
    )


def reward(output: Path, guard: Any) -> Any:
    from trl import RewardConfig, RewardTrainer

    config = LlamaConfig(**{**model().config.to_dict(), "num_labels": 1, "pad_token_id": 3})
    return RewardTrainer(
        model=LlamaForSequenceClassification(config),
        args=RewardConfig(**options(output, max_length=32)),
        train_dataset=Dataset.from_list(PAIRS * 2),
        processing_class=tokenizer(),
        callbacks=[guard],
    )


def grpo(output: Path, guard: Any) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    def length(completions: list[str], **more: Any) -> list[float]:
        return [float(len(set(each.split()))) for each in completions]

    net = model()
    net.generation_config.pad_token_id = 3
    return GRPOTrainer(
        model=net,
        reward_funcs=length,
        args=GRPOConfig(**options(output, num_generations=2, max_completion_length=6)),
        train_dataset=Dataset.from_list([{"prompt": each["prompt"]} for each in PAIRS * 2]),
        processing_class=tokenizer(),
        callbacks=[guard],
    )


MAKERS: dict[str, tuple[Callable[..., Any], str]] = {
    "sft": (sft, "sft"),
    "sft_chat": (sft_chat, "sft"),
    "sft_packed_lora": (sft_packed_lora, "sft"),
    "dpo": (dpo, "dpo"),
    "kto": (kto, "kto"),
    "reward": (reward, "reward"),
    "grpo": (grpo, "grpo"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_is_said_of_a_healthy_trainer_of_trl(tmp_path: Path, name: str) -> None:
    make, method = MAKERS[name]
    guard = GuardCallback()
    run = make(tmp_path, guard)
    assert assert_ready(run) == []
    run.train()
    assert guard.findings == []
    assert guard._broken == set()
    assert run.state.global_step == 3
    assert method_of(run.args) == method


def test_the_chat_template_must_mark_the_assistant(tmp_path: Path) -> None:
    """The mask is made by a template; a user's own mask of zeros is not refused by TRL."""
    from trl import SFTConfig, SFTTrainer

    data = [{"input_ids": [5, 6, 7, 8, 9, 2], "assistant_masks": [0] * 6} for _ in range(8)]
    with pytest.raises((NotReadyError, ValueError, RuntimeError)) as raised:
        SFTTrainer(
            model=model(),
            args=SFTConfig(**options(tmp_path, assistant_only_loss=True, max_length=32)),
            train_dataset=Dataset.from_list(data),
            processing_class=tokenizer(),
            callbacks=[GuardCallback()],
        ).train()
    if isinstance(raised.value, NotReadyError):
        assert codes(raised.value.findings) == ["RUN017"]
        assert "{% generation %}" in raised.value.findings[0].message


# Labels.


def test_pad_as_eos_is_never_learnt(tmp_path: Path) -> None:
    texts = [{"input_ids": [*range(5, 8 + index % 3), 2]} for index in range(16)]
    for pad, expected in (("</s>", ["RUN017"]), ("<pad>", [])):
        words = tokenizer(pad_token=pad)
        guard = GuardCallback()
        trainer(
            tmp_path / pad.strip("</>"),
            guard,
            data=Dataset.from_list(texts),
            trainer_data_collator=DataCollatorForLanguageModeling(words, mlm=False),
            trainer_processing_class=words,
        ).train()
        assert codes(guard.findings) == expected, pad
    # Texts without an end are a way of pretraining.
    words = tokenizer(pad_token="</s>")
    guard = GuardCallback()
    trainer(
        tmp_path / "none",
        guard,
        data=Dataset.from_list([{"input_ids": each["input_ids"][:-1]} for each in texts]),
        trainer_data_collator=DataCollatorForLanguageModeling(words, mlm=False),
        trainer_processing_class=words,
    ).train()
    assert guard.findings == []


def test_padding_in_the_labels(tmp_path: Path) -> None:
    data = []
    for index in range(16):
        ids = [5, 6, 7, 8][: 2 + index % 2] + [3] * (6 - 2 - index % 2)
        attended = [int(token != 3) for token in ids]
        data.append({"input_ids": ids, "attention_mask": attended, "labels": list(ids)})
    guard = GuardCallback()
    trainer(tmp_path, guard, data=Dataset.from_list(data)).train()
    assert codes(guard.findings)[0] == "RUN017"
    assert "learns to write padding" in guard.findings[0].message
    assert guard.stopped is None


def test_one_example_that_counts_is_enough() -> None:
    data = rows(63, masked=True) + rows(1)
    from trainguard.train.labels import label_findings

    class Loader:
        dataset = data
        collate_fn = staticmethod(lambda given: {key: torch.stack([row[key] for row in given]) for key in given[0]})

    class Args:
        per_device_train_batch_size = 8

    assert list(label_findings(Loader, Args)) == []
    Loader.dataset = data[:63]
    assert codes(label_findings(Loader, Args)) == ["RUN017"]


@pytest.mark.parametrize(
    "batch",
    [
        {"labels": torch.zeros(4)},
        {"labels": torch.zeros(4, 3)},
        {"labels": torch.full((4, 3), -100)},
        {"labels": [[-100]]},
        {"label": torch.zeros(4)},
        [torch.zeros(4)],
        None,
    ],
)
def test_batches_of_other_kinds_are_no_opinion(batch: Any) -> None:
    from trainguard.train.labels import label_findings

    class Loader:
        dataset = [0] * 8
        collate_fn = staticmethod(lambda given: batch)

    assert list(label_findings(Loader, None)) == []


def test_sampling_leaves_streams_and_own_data_sets_alone() -> None:
    class Counts(torch.utils.data.Dataset[int]):
        read = 0

        def __len__(self) -> int:
            return 10

        def __getitem__(self, index: int) -> int:
            self.read += 1
            return index

    class Loader:
        dataset = Counts()
        collate_fn = staticmethod(list)

    assert list(sampled_batches(Loader)) == []
    assert Loader.dataset.read == 0


# Parameters.


def test_nothing_trainable() -> None:
    net = model()
    net.requires_grad_(False)
    assert codes(trainable(net)) == ["RUN016"]
    assert codes(trainable(model())) == []


def test_what_small_trainable_parts_are_healthy() -> None:
    net = model(hidden_size=64, intermediate_size=512)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name == "lm_head.weight")
    assert list(trainable(net)) == []
    biases = nn.Sequential(nn.Linear(100, 100), nn.LayerNorm(100), nn.Linear(100, 100))
    biases.requires_grad_(False)
    biases[0].bias.requires_grad_(True)
    assert list(trainable(biases)) == []
    assert list(trainable(lora())) == []
    assert list(trainable(lora(target_modules=["q_proj"], r=1))) == []


def test_adapters_that_are_not_in_use() -> None:
    net = lora()
    training = [(name, each) for name, each in net.named_parameters() if each.requires_grad]
    assert list(adapter(net, training)) == []
    net.merge_adapter()
    assert "is merged" in next(adapter(net, training)).message
    net.unmerge_adapter()
    net.base_model.disable_adapter_layers()
    training = [(name, each) for name, each in net.named_parameters() if "lora" in name]
    for _, each in training:
        each.requires_grad_(True)
    assert "is switched off" in next(adapter(net, training)).message
    net.base_model.enable_adapter_layers()
    assert list(adapter(net, training)) == []


def test_an_adapter_that_is_not_the_active_one() -> None:
    from peft import LoraConfig

    net = lora()
    net.add_adapter("second", LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    for name, each in net.named_parameters():
        each.requires_grad_(".second." in name)
    found = list(trainable(net))
    assert codes(found) == ["RUN016"]
    assert "model.set_adapter('second')" in found[0].message
    net.set_adapter("second")
    assert list(trainable(net)) == []


def test_a_loaded_adapter_that_is_frozen(tmp_path: Path) -> None:
    from peft import PeftModel

    lora().save_pretrained(tmp_path)
    assert "is_trainable=True" in next(trainable(PeftModel.from_pretrained(model(), tmp_path))).message
    assert list(trainable(PeftModel.from_pretrained(model(), tmp_path, is_trainable=True))) == []


def test_optimizers() -> None:
    net = model()
    own = [each for each in net.parameters() if each.requires_grad]
    assert list(owned(net, torch.optim.SGD(own, lr=0.1))) == []
    assert codes(owned(net, torch.optim.SGD(own[:-1], lr=0.1))) == ["RUN021"]
    # A loss with parameters of its own.
    assert list(owned(net, torch.optim.SGD([*own, nn.Parameter(torch.ones(2))], lr=0.1))) == []
    assert list(owned(net, None)) == []
    assert list(owned(net, object())) == []

    class DeepSpeedZeroOptimizer(torch.optim.SGD):
        """One that steps flat copies."""

    assert list(owned(net, DeepSpeedZeroOptimizer([nn.Parameter(torch.ones(2))], lr=0.1))) == []

    tied = LlamaForCausalLM(LlamaConfig(**{**model().config.to_dict(), "tie_word_embeddings": True}))
    assert list(owned(tied, torch.optim.SGD(tied.parameters(), lr=0.1))) == []


def test_meta_weights() -> None:
    with torch.device("meta"):
        empty = nn.Linear(2, 2)
    assert codes(placed(empty, None)) == ["RUN016"]
    assert list(placed(model(), None)) == []


def test_schedules() -> None:
    from transformers import get_cosine_schedule_with_warmup, get_scheduler

    made = torch.optim.SGD(model().parameters(), lr=0.1)
    cosine = get_cosine_schedule_with_warmup(made, 2, 100)
    assert schedule_steps(cosine) == 100
    assert list(planned(cosine, 100)) == []
    assert list(planned(cosine, 98)) == []
    assert codes(planned(cosine, 200)) == ["RUN019"]
    # One schedule over several files is longer on purpose.
    assert list(planned(cosine, 25)) == []
    for kind in ("constant", "constant_with_warmup"):
        assert list(planned(get_scheduler(kind, made, num_warmup_steps=2, num_training_steps=10), 100)) == []
    assert list(planned(torch.optim.lr_scheduler.CosineAnnealingLR(made, 10), 100)) == []
    assert list(planned(None, 100)) == []


# What a run promises.


@pytest.mark.parametrize(
    "kind",
    ["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "cosine_with_restarts", "inverse_sqrt"],
)
def test_declared_schedules(tmp_path: Path, kind: str) -> None:
    run = trainer(tmp_path, max_steps=10, warmup_steps=2, lr_scheduler_type=kind)
    run.create_optimizer_and_scheduler(10)
    said = declared_by(run.args, max_steps=10, model=run.model, optimizer=run.optimizer, lr_scheduler=run.lr_scheduler)
    assert (said["lr_scheduler_type"], said["learning_rate"], said["warmup_steps"]) == (kind, 1e-3, 2)
    assert (said["max_steps"], said["vocab_size"], said["peft"]) == (10, 64, False)
    assert "num_labels" not in said


def test_what_a_script_makes_itself_is_not_promised(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=10)
    own = torch.optim.SGD(run.model.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(own, lambda step: 1 / (step + 1))
    said = declared_by(run.args, max_steps=10, model=run.model, optimizer=own, lr_scheduler=schedule)
    assert "lr_scheduler_type" not in said
    assert "learning_rate" not in said


def test_the_callback_refuses_ids_and_weights_that_cannot_train(tmp_path: Path) -> None:
    data, net = rows(), model()
    data[0]["input_ids"][0] = 99
    net.lm_head.weight.data[0, 0] = float("nan")
    guard = GuardCallback()
    run = trainer(tmp_path, guard, net=net, data=data)
    with pytest.raises(NotReadyError, match=r"(?s)RUN001 .*lm_head.*MODEL005 .*99"):
        run.train()
    assert run.state.global_step == 0
    assert sorted(str(each.code) for each in guard.findings) == ["MODEL005", "RUN001"]
