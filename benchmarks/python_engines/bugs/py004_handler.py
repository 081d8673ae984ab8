# bug: PY004 12
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def load():
    try:
        data = load_dataset('imdb')
    except OSError:
        print('offline')
    return data


load()
