# bug: PY005 8
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

epochs = 3
for epoch in epochs:
    print(epoch)
