# bug: PY002 10
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

def main():
    trainer = SFTTrainer(model='m')
    trainer.train()
    os.makedirs('out')


main()
