# bug: PY006 8
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

layers = ['q', 'k']
print(layers[2])
