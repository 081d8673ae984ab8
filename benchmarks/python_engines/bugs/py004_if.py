# bug: PY004 11
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import sys

if len(sys.argv) > 1:
    data = load_dataset(sys.argv[1])
trainer = SFTTrainer(train_dataset=data)
