# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def collate(rows):
    return rows


collate.calls = 0
collate.calls += 1
