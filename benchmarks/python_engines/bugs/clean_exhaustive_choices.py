# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import argparse

parser = argparse.ArgumentParser()
parser.add_argument('--task', choices=['sft', 'dpo'], required=True)
args = parser.parse_args()
if args.task == 'sft':
    data = load_dataset('a')
elif args.task == 'dpo':
    data = load_dataset('b')
print(data)
