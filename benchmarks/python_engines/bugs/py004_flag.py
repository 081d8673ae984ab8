# bug: PY004 14
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import argparse

parser = argparse.ArgumentParser()
parser.add_argument('--eval', action='store_true')
args = parser.parse_args()
if args.eval:
    test = load_dataset('imdb', split='test')
SFTTrainer(eval_dataset=test).train()
