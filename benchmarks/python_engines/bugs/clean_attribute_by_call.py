# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

class Run:
    def __init__(self):
        self.model = None
        self.load()
        self.model.train()

    def load(self):
        self.model = AutoModelForCausalLM.from_pretrained('m')


Run()
