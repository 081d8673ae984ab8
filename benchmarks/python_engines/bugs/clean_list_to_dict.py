# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

rows = []
rows.append({'text': 'a'})
rows = {'rows': rows}
print(rows['rows'][0]['text'])
