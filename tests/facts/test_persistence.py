from __future__ import annotations

import pytest

from trainguard.facts.script import read_script


def saves(source: str) -> list[tuple[str, str]]:
    return [(save.kind, save.thing) for save in read_script(source + "\n").persistence.saves]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("trainer.save_model('x')", [("local", "model")]),
        ("trainer.push_to_hub()", [("hub", "model")]),
        ("model.save_pretrained('x', push_to_hub=True)", [("hub", "model")]),
        ("model.save_pretrained('x', push_to_hub=False)", [("local", "model")]),
        ("import torch\ntorch.save(model.state_dict(), 'x.pt')", [("local", "model")]),
        ("tokenizer.save_pretrained('x')", [("local", "tokenizer")]),
        ("t = transformers.AutoTokenizer.from_pretrained('m')\nt.push_to_hub('x')", [("hub", "tokenizer")]),
        ("from datasets import load_dataset\nd = load_dataset('x')\nd.push_to_hub('y')", [("hub", "dataset")]),
        ("from huggingface_hub import upload_folder as u\nu(folder_path='x', repo_id='a/b')", [("hub", "model")]),
        ("model.save_pretrained('s3://bucket/x')", [("upload", "model")]),
        ("accelerator.save_state('x')", [("local", "model")]),
        ("trainer.save_checkpoint('x.ckpt')", [("local", "model")]),
        ("model.push_to_hub_merged('a/b', tokenizer)", [("hub", "model")]),
        ("class R:\n    def keep(self):\n        self.model.save_pretrained('x')\nR().keep()", [("local", "model")]),
    ],
)  # fmt: skip
def test_saves(source: str, expected: list[tuple[str, str]]) -> None:
    assert saves(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "# model.save_pretrained('x')",
        "x = 'trainer.push_to_hub()'",
        "def never():\n    model.save_pretrained('x')",
        "if False:\n    trainer.save_model()",
        "import sys\nsys.exit()\ntrainer.save_model()",
        "from PIL import Image\nImage.open('a').save('b.png')",
        "import numpy as np\nnp.save('x', y)",
    ],
)
def test_what_saves_no_model(source: str) -> None:
    assert saves(source) == []


def test_loads_of_models_and_of_other_things() -> None:
    source = """
from transformers import AutoModelForCausalLM as M, AutoTokenizer, AutoConfig
import transformers
M.from_pretrained("a")
transformers.AutoModel.from_pretrained("b")
AutoTokenizer.from_pretrained("c")
AutoConfig.from_pretrained("d")
def never():
    M.from_pretrained("e")
"""
    assert [call.line for call in read_script(source).persistence.model_loads] == [4, 5]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os\nos.system('pip install wandb')", ["wandb"]),
        ("import subprocess, sys\nsubprocess.check_call([sys.executable, '-m', 'pip', 'install', 'trl'])", ["trl"]),
        ("from subprocess import run as r\nr('pip install a b', shell=True)", ["a", "b"]),
        ("import subprocess\nc = 'pip install a b'\nsubprocess.run(c.split())", ["a", "b"]),
        ("import subprocess\nc = ['uv', 'pip', 'install']\nc.append('a')\nsubprocess.Popen(c)", ["a"]),
        ("def never():\n    import os\n    os.system('pip install a')", []),
        ("run('pip install a')", []),
    ],
)
def test_what_a_script_installs(source: str, expected: list[str]) -> None:
    commands = read_script(source + "\n").commands
    assert [requirement.name for command in commands for requirement in command.installs] == expected
