# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import argparse

parser = argparse.ArgumentParser()
parser.add_argument('--data')
args = parser.parse_args()
if args.data:
    data = load_dataset(args.data)
else:
    parser.error('no data')
print(data)
