# clean
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

display(load_dataset('imdb'))
get_ipython().run_line_magic('pip', 'install trl')
