# bug: PY005 9
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

import os

if os.environ['WORLD_SIZE'] > 1:
    print('many')
