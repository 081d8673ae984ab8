# bug: PY001 8
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

args = SFTConfig(output_dir='out', max_steps=(10
print(args)
