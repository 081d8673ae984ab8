# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import time

for attempt in range(3):
    try:
        data = load_dataset('imdb')
        break
    except OSError:
        time.sleep(1)
print(data)
