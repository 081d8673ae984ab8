# bug: PY002 11
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

class Run:
    steps = 10

    def go(self):
        return steps


Run().go()
