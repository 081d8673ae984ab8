# bug: PY003 11
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

best = 9.0


def evaluate(loss):
    if loss < best:
        best = loss


evaluate(1.0)
