# bug: PY003 12
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def load():
    try:
        load_dataset('imdb')
    except OSError as error:
        print('failed')
    print(error)


load()
