# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

class Run:
    def __init__(self):
        self.best = None

    def update(self, loss):
        if self.best is None or loss < self.best:
            self.best = loss
        return self.best * 2


Run().update(1)
