# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

config = {'lr': 1e-4}
config['epochs'] = 3
config.update(seed=1)
print(config['epochs'], config['seed'])
