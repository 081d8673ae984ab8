# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import sys

try:
    data = load_dataset('imdb')
except OSError:
    sys.exit(1)
print(data)
