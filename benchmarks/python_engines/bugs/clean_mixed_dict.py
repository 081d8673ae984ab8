# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

config = {'lr': 1e-4, 'name': 'a', 'steps': 10}
print(config['lr'] * 2, config['name'].upper(), range(config['steps']))
