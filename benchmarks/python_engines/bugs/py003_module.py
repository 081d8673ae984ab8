# bug: PY003 7
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

trainer = SFTTrainer(model=model)
model = AutoModelForCausalLM.from_pretrained('m')
