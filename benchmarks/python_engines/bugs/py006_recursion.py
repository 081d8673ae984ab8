# bug: PY006 9
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def retry(job):
    print(job)
    return retry(job)


retry(1)
