"""Arguments of adapters and of quantization that are refused together (see `argument_conflicts`)."""

from __future__ import annotations

from trainguard.libraries.argument_conflict_record import Conflict, switched_on
from trainguard.libraries.argument_facts import Since

_LORA = "peft 0.21.2, tuners/lora/config.py `LoraConfig.__post_init__`"

PEFT_CONFLICTS: tuple[Conflict, ...] = (
    Conflict(
        key="layers-of-a-pattern",
        owners=frozenset({"LoraConfig"}),
        defaults={"layers_to_transform": None, "target_modules": None},
        refused=lambda v: isinstance(v["target_modules"], str) and v["layers_to_transform"] is not None,
        message="layers_to_transform is refused where target_modules is a string ({target_modules}): a pattern says "
        "itself which layers it means; list the modules",
        fix='target_modules=["q_proj", "v_proj"]',
        where=Since("peft"),
        source=_LORA,
        package="peft",
    ),
    Conflict(
        key="pattern-of-a-pattern",
        owners=frozenset({"LoraConfig"}),
        defaults={"layers_pattern": None, "target_modules": None, "layers_to_transform": None},
        refused=lambda v: (
            isinstance(v["target_modules"], str)
            and v["layers_pattern"] is not None
            and v["layers_to_transform"] is None
        ),
        message="layers_pattern is refused where target_modules is a string ({target_modules}): list the modules",
        fix='target_modules=["q_proj", "v_proj"]',
        where=Since("peft"),
        source=_LORA,
        package="peft",
    ),
    Conflict(
        key="pattern-without-layers",
        owners=frozenset({"LoraConfig"}),
        defaults={"layers_pattern": None, "layers_to_transform": None, "target_modules": None},
        refused=lambda v: (
            bool(v["layers_pattern"]) and v["layers_to_transform"] is None and not isinstance(v["target_modules"], str)
        ),
        message="layers_pattern={layers_pattern} is refused without layers_to_transform: it only says where their "
        "numbers stand",
        fix="layers_to_transform=[0, 1]",
        where=Since("peft", "0.14.0"),
        source=_LORA,
        package="peft",
    ),
    Conflict(
        key="loftq-without-config",
        owners=frozenset({"LoraConfig"}),
        defaults={"init_lora_weights": True, "loftq_config": {}},
        refused=lambda v: v["init_lora_weights"] == "loftq" and not v["loftq_config"],
        message='init_lora_weights="loftq" is refused without loftq_config; add loftq_config=LoftQConfig(loftq_bits=4)',
        fix="loftq_config=LoftQConfig(loftq_bits=4)",
        where=Since("peft"),
        source=_LORA,
        package="peft",
    ),
    Conflict(
        key="lora-bias-init",
        owners=frozenset({"LoraConfig"}),
        defaults={"lora_bias": False, "init_lora_weights": True},
        refused=lambda v: v["lora_bias"] is True and isinstance(v["init_lora_weights"], str),
        message="lora_bias=True is refused with init_lora_weights={init_lora_weights}: only the standard "
        "initialisation has a bias",
        fix="init_lora_weights=True",
        where=Since("peft", "0.14.0"),
        source=_LORA,
        package="peft",
    ),
    Conflict(
        key="lora-bias-dora",
        owners=frozenset({"LoraConfig"}),
        defaults={"lora_bias": False, "use_dora": False},
        refused=switched_on("lora_bias", "use_dora"),
        message="lora_bias=True is refused with use_dora=True; keep one of them",
        fix="lora_bias=False",
        where=Since("peft", "0.14.0"),
        source=_LORA,
        package="peft",
    ),
    Conflict(
        key="four-and-eight-bit",
        owners=frozenset({"BitsAndBytesConfig", "ModelConfig"}),
        defaults={"load_in_8bit": False, "load_in_4bit": False},
        refused=switched_on("load_in_4bit", "load_in_8bit"),
        message="load_in_4bit=True and load_in_8bit=True are refused together; keep one of them",
        fix="load_in_4bit=True",
        where=Since("transformers", "4.38.0"),
        source="transformers 5.23.0, utils/quantization_config.py `BitsAndBytesConfig.__init__`; trl 1.16.0, "
        "trainer/model_config.py `ModelConfig.__post_init__`",
    ),
)
