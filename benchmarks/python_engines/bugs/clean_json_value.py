# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import json

config = json.loads('{}')
print(config['lr'] + 1, config.get('a').b)
