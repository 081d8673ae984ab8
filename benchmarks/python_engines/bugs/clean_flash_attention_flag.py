# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

HAS_FLASH = True
if HAS_FLASH:
    attention = 'flash_attention_2'
print(attention)
