# bug: PY005 9
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def train():
    max_steps = None
    if max_steps > 0:
        print('limited')


train()
