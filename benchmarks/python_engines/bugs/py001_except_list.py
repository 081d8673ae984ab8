# bug: PY001 9
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

try:
    model = AutoModelForCausalLM.from_pretrained('m')
except OSError, ValueError:
    raise
