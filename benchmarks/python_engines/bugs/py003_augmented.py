# bug: PY003 11
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

steps = 0


def on_step():
    steps += 1


on_step()
