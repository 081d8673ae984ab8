"""Runs scripts inside an environment of training libraries and says for each how it ended.

Standard input: JSON `[{"name": ..., "text": ...}]`. Standard output, one JSON object a script: `name`, `error` (the
exception's type and message, empty where the script ran to its end) and `lines` (the lines of the script on the
traceback, outermost first). Standard library at import time; the training libraries are imported once, and each script
runs in a fork of that process, in a folder with a tiny model and tiny data under the names that the scripts use.
Nothing is fetched: a script that reaches for the network has made its call, and counts as one that ran.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TRANSFORMERS_VERBOSITY="error",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    CUDA_VISIBLE_DEVICES="",
    WANDB_MODE="disabled",
)
_SECONDS_A_SCRIPT = 240
_MODEL = "Qwen/Qwen2.5-0.5B"
_TALK = [{"role": "user", "content": "how do you do"}, {"role": "assistant", "content": "i do well"}]
_DATA: dict[str, dict[str, Any]] = {
    "trl-lib/Capybara": {"messages": _TALK},
    "stanfordnlp/imdb": {"text": "how do you do well", "label": 1},
    "trl-lib/ultrafeedback_binarized": {"prompt": "how do", "chosen": "you do well", "rejected": "i do"},
    "trl-lib/tldr": {"prompt": "how do you", "completion": "do well"},
    "trl-lib/kto-mix-14k": {"prompt": "how do you", "completion": "do well", "label": True},
}
_WORDS = "how do you i well <pad> <s> </s> <unk> user assistant system the a good model".split()
_CHAT = "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}</s>"
# What offline libraries raise where they would have asked the network.
_REACHED = (
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "ConnectionError",
    "ConnectError",
    "LocalTokenNotFoundError",
)


def main() -> None:
    cases = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "template"
        os.environ["HF_HOME"] = f"{folder}/home"
        print(f"building the tiny model with {sys.executable}", file=sys.stderr)
        build(template)
        preload()
        for number, case in enumerate(cases):
            place = Path(folder) / str(number)
            shutil.copytree(template, place)
            print(json.dumps({"name": case["name"], **run_apart(case["text"], place)}), flush=True)
            shutil.rmtree(place, ignore_errors=True)


def build(folder: Path) -> None:
    """The tiny model and the tiny data, under the names of real ones: a local folder goes before the hub."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(WordLevel({word: number for number, word in enumerate(_WORDS)}, unk_token="<unk>"))
    raw.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = _CHAT
    config = LlamaConfig(
        vocab_size=len(_WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        pad_token_id=5,
        bos_token_id=6,
        eos_token_id=7,
    )
    LlamaForCausalLM(config).save_pretrained(folder / _MODEL)
    tokenizer.save_pretrained(folder / _MODEL)
    for name, row in _DATA.items():
        (folder / name).mkdir(parents=True)
        for split in ("train", "test"):
            text = (json.dumps(row) + "\n") * 8
            (folder / name / f"{split}.jsonl").write_text(text, encoding="utf-8")


def preload() -> None:
    """Imports that most scripts need, so that a fork need not make them again."""
    import trl

    for name in ("SFTTrainer", "SFTConfig", "DPOTrainer", "RewardTrainer", "GRPOTrainer", "KTOTrainer"):
        with contextlib.suppress(Exception):
            getattr(trl, name)
    import torch
    from transformers import training_args

    torch.set_num_threads(1)
    # trl's configurations ask for bf16 by themselves, which the GPU of a job has.
    training_args.is_torch_bf16_gpu_available = lambda: True


def run_apart(text: str, folder: Path) -> dict[str, Any]:
    """The end of one script, in a fork."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            json.dump(outcome(text, folder), out)
        os._exit(0)
    os.close(writer)
    said = b""
    end = time.monotonic() + _SECONDS_A_SCRIPT
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            part = pipe.read(65536)
            if not part:
                break
            said += part
    if not said:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return json.loads(said) if said else {"error": "no end", "lines": []}


def outcome(text: str, folder: Path) -> dict[str, Any]:
    os.chdir(folder)
    with open("log", "w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    (folder / "train.py").write_text(text, encoding="utf-8")
    sys.argv = ["train.py"]
    sys.path.insert(0, str(folder))
    import types

    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__["__file__"] = "train.py"
    try:
        exec(compile(text, "train.py", "exec"), module.__dict__)  # noqa: S102 the cases are this project's own
    except BaseException as error:
        return ended(error)
    return {"error": "", "lines": []}


def ended(error: BaseException) -> dict[str, Any]:
    name = type(error).__name__
    chain: BaseException | None = error
    while chain is not None:
        if type(chain).__name__ in _REACHED:
            return {"error": "", "lines": []}
        chain = chain.__cause__ or chain.__context__
    if isinstance(error, SystemExit) and not error.code:
        return {"error": "", "lines": []}
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == "train.py" and frame.lineno]
    if isinstance(error, SyntaxError) and error.filename == "train.py" and error.lineno:
        lines.append(error.lineno)
    message = " ".join(str(error).split())
    return {"error": f"{name}: {message[:300]}", "lines": lines}


if __name__ == "__main__":
    main()
