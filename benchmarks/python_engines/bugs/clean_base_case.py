# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def walk(node):
    for child in node.children:
        walk(child)


walk(torch.nn.Linear(1, 1))
