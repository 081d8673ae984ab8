# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import re

print(re.search(r'(\d+)', 'checkpoint-10').group(1))
