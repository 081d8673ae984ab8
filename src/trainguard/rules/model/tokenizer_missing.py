"""MODEL009: a model without its tokenizer."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.model.records import ModelFacts
from trainguard.findings import Finding, Location
from trainguard.rules._example_files import tensors
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import CONFIG, TENSORS, TOKENIZER, adapter_files, model_files

# Classes that read text by a tokenizer; those for pictures and sounds have processors of their own.
_TEXT_CLASSES = ("ForCausalLM", "LMHeadModel", "ForSequenceClassification", "ForMaskedLM", "ForTokenClassification")


class TokenizerMissing(Rule):
    """A language model lies there without a tokenizer, or with one that cannot be read.

    *What it does*

    Fires for a folder with the config.json and the weights of a language model that holds no tokenizer in any form
    (tokenizer.json, tokenizer.model, vocab.json, vocab.txt, tekken.json, tiktoken files), and for tokenizer files that
    are broken or Git LFS pointers. Silent for adapters, which use the tokenizer of their base.

    *Why it costs you*

    `AutoTokenizer.from_pretrained` fails on the folder; with a tokenizer taken from elsewhere, ids may mean other
    tokens, and nothing fails.

    *Example*

    `model.save_pretrained("out")` without `tokenizer.save_pretrained("out")`.

    *Use instead*

    Save both into the same folder; with a Trainer, pass `processing_class=tokenizer`.
    """

    code = "MODEL009"
    name = "tokenizer-missing"
    severity = "error"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files(), check={"path": "model"}),
        Example(files=adapter_files(), check={"path": "adapter"}, why="An adapter uses the tokenizer of its base."),
        Example(
            files={
                "model/config.json": '{"architectures": ["ViTModel"], "model_type": "vit"}',
                "model/model.safetensors": tensors({"w": ("F32", (2, 2))}),
            },
            check={"path": "model"},
            why="A model of pictures.",
        ),
    )
    INVALID = (
        Example(
            files={"model/config.json": CONFIG, "model/model.safetensors": tensors(TENSORS)},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model holds a language model (LlamaForCausalLM) and no tokenizer; save it into the same folder: "
                    'tokenizer.save_pretrained("model")',
                ),
            ),
        ),
        Example(
            files=model_files() | {"model/tokenizer.json": TOKENIZER[:40]},
            check={"path": "model"},
            findings=((None, "tokenizer.json: it is no JSON: Input data was truncated; download or save it again"),),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None or model.is_file:
            return
        tokenizer = model.tokenizer
        if tokenizer is not None:
            if tokenizer.problem is not None and tokenizer.problem_file is not None:
                message = f"{tokenizer.problem_file}: {tokenizer.problem}; download or save it again"
                yield self.finding(message, where=Location(model.shown(tokenizer.problem_file)))
            return
        kind = _language_model(model)
        if kind is not None:
            message = f"{model.path} holds a language model ({kind}) and no tokenizer; save it into the same folder: "
            yield self.finding(f'{message}tokenizer.save_pretrained("{model.path}")', where=Location(str(model.path)))


def _language_model(model: ModelFacts) -> str | None:
    config = model.config
    if model.adapter is not None or config is None or config.problem is not None or config.vocab_size is None:
        return None
    if not model.weights and model.index is None:
        return None
    return next((name for name in config.architectures if name.endswith(_TEXT_CLASSES)), None)
