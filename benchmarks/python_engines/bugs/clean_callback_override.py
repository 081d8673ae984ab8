# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from transformers import TrainerCallback


class Log(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        print(logs['loss'], state.global_step)


SFTTrainer(callbacks=[Log()])
