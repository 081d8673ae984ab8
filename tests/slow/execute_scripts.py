"""Runs small training scripts with the real libraries and says how each ended. No test; the tests start it.

Started as `python execute_scripts.py` by a Python that has torch, transformers, trl and peft. Reads a JSON object of
name to script from standard input, writes one of name to outcome to standard output: empty where the script ended,
else `ValueError: message`. The scripts find a tiny model, a tokenizer and datasets by name, and train on the CPU.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import tempfile
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1")
os.environ["OMP_NUM_THREADS"] = "1"  # so small a model is slower on several threads

_WORDS = "the cat sat on a mat and then it ran away from user assistant yes no".split()


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<unk>", "<pad>", "<eos>", *_WORDS])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="<eos>", model_max_length=64
    )


def _model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    return LlamaForCausalLM(LlamaConfig(vocab_size=32, eos_token_id=2, pad_token_id=1, **sizes))


def _classifier() -> Any:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    sizes: dict[str, Any] = {
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    return LlamaForSequenceClassification(LlamaConfig(vocab_size=32, pad_token_id=1, num_labels=1, **sizes))


def _names(folder: str) -> dict[str, Any]:
    """The names that a script may use without making them."""
    from datasets import Dataset
    from transformers import LlamaForCausalLM

    rows = 8
    ids = [[3, 4, 5, 6, 2]] * rows
    preferences = {"prompt": ["the cat "] * rows, "chosen": ["sat on a mat"] * rows, "rejected": ["ran away"] * rows}
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(os.path.join(folder, "model"))
    _model().save_pretrained(os.path.join(folder, "model"))
    with open(os.path.join(folder, "rows.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"input_ids": ids[0], "labels": ids[0]}) + "\n" for _ in range(rows))
    model = LlamaForCausalLM.from_pretrained(os.path.join(folder, "model"))  # TRL loads the reference by its name
    return {
        "__name__": "__main__",
        "model": model,
        "classifier": _classifier(),
        "tokenizer": tokenizer,
        "tokens": Dataset.from_dict({"input_ids": ids, "labels": ids, "attention_mask": [[1] * 5] * rows}),
        "texts": Dataset.from_dict({"text": ["the cat sat on a mat"] * rows}),
        "prompts": Dataset.from_dict({"prompt": ["the cat sat"] * rows}),
        "preferences": Dataset.from_dict(preferences),
        "labelled": Dataset.from_dict(
            {"prompt": ["the cat "] * rows, "completion": ["sat on"] * rows, "label": [True, False] * (rows // 2)}
        ),
        "reward": lambda completions, **_: [float(len(text)) for text in completions],
    }


def _outcome(script: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)
        try:
            names = _names(folder)
            exec(compile(script, "train.py", "exec"), names)  # noqa: S102
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        finally:
            os.chdir(before)
            with contextlib.suppress(Exception):  # the state that Accelerate keeps for the whole process
                from accelerate.state import AcceleratorState

                AcceleratorState._reset_state(reset_partial_state=True)
            gc.collect()
    return ""


def main() -> None:
    scripts = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        found = {name: _outcome(script) for name, script in scripts.items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
