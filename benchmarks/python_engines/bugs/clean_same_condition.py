# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import sys

if len(sys.argv) > 1:
    data = load_dataset(sys.argv[1])
if len(sys.argv) > 1:
    print(data)
