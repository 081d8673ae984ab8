# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

row = {'loss': 0.5}
print(f'{row['loss']:.2f}')
