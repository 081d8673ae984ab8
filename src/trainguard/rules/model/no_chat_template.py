"""MODEL007: a model that chats has lost its chat template."""

from __future__ import annotations

import re
from collections.abc import Iterable

from trainguard.facts.model.records import ModelFacts
from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.model._wording import TOKENIZER, model_files

# Names of models that were trained to chat: Llama-3.2-1B-Instruct, gemma-3-1b-it, Qwen1.5-7B-Chat.
_CHAT_NAME = re.compile(r"(?:^|[-_.\s])(?:instruct|chat|it)(?=$|[-_.\s])", re.IGNORECASE)
_CHATS = '{"eos_token": "<|im_end|>"}'


class NoChatTemplate(Rule):
    """A model that was trained to chat has no chat template.

    *What it does*

    Fires where the tokenizer has no chat template in any of its places (tokenizer_config.json, chat_template.jinja,
    additional_chat_templates/) although the model has learned to chat: it stops at a token that ends a turn, or its
    name says so. Silent for all others, since base models have none and need none.

    *Why it costs you*

    `apply_chat_template` and SFTTrainer on chat data raise; a template that somebody makes up instead trains the model
    on another form of dialogue than the one it knows.

    *Example*

    A tokenizer whose `eos_token` is `<|im_end|>`, saved by a script that dropped `chat_template.jinja`.

    *Use instead*

    The template of the model's own repository: copy `chat_template.jinja`, or the `chat_template` of its
    tokenizer_config.json.
    """

    code = "MODEL007"
    name = "no-chat-template"
    severity = "warn"
    area = "model"
    needs = frozenset({"model"})

    VALID = (
        Example(files=model_files(), check={"path": "model"}, why="Nothing says that this model chats."),
        Example(
            files=model_files()
            | {"model/tokenizer_config.json": _CHATS, "model/chat_template.jinja": "{{ messages[0].content }}"},
            check={"path": "model"},
        ),
    )
    INVALID = (
        Example(
            files=model_files() | {"model/tokenizer_config.json": _CHATS},
            check={"path": "model"},
            findings=(
                (
                    None,
                    "model has no chat template, and it stops at <|im_end|>, which ends a turn of a chat; copy "
                    "chat_template.jinja from the model's own repository",
                ),
            ),
        ),
        Example(
            files=model_files("tiny-instruct"),
            check={"path": "tiny-instruct"},
            findings=(
                (
                    None,
                    "tiny-instruct has no chat template, and its name says that it chats; copy chat_template.jinja "
                    "from the model's own repository",
                ),
            ),
        ),
        Example(
            files={"tok-chat/tokenizer.json": TOKENIZER},
            check={"path": "tok-chat"},
            findings=(
                (
                    None,
                    "tok-chat has no chat template, and its name says that it chats; copy chat_template.jinja from the "
                    "model's own repository",
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        model = subject.model
        if model is None or model.tokenizer is None or model.tokenizer.has_chat_template or model.adapter is not None:
            return
        reason = _reason(model)
        if reason is not None:
            message = f"{model.path} has no chat template, and {reason}; copy chat_template.jinja from the model's own "
            yield self.finding(f"{message}repository", where=Location(model.shown(model.tokenizer.files[0])))


def _reason(model: ModelFacts) -> str | None:
    if model.chat_stop_tokens:
        return f"it stops at {model.chat_stop_tokens[0]}, which ends a turn of a chat"
    origin = model.config.raw.get("_name_or_path") if model.config is not None else None
    names = [model.path.name, origin.rpartition("/")[2] if isinstance(origin, str) else ""]
    return "its name says that it chats" if any(_CHAT_NAME.search(name) for name in names) else None
