# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

for epoch in range(3):
    loss = torch.rand(1)
print(loss, epoch)
