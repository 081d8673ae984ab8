# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

try:
    import wandb
except ImportError:
    wandb = None
if wandb is not None:
    wandb.init()
