# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

model = None


def setup():
    global model
    model = AutoModelForCausalLM.from_pretrained('m')


setup()
model.train()
print(model.config['a'] > 3)
