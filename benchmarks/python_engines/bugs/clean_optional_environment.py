# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import os

print(int(os.environ.get('LOCAL_RANK', 0)) + 1, os.environ.get('HF_HOME').strip())
