# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

total = 0
for batch in load_dataset('imdb'):
    total += len(batch)
print(10 / total)
