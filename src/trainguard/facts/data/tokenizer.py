"""What a tokenizer folder is: its chat templates, its special tokens and whether it can be used at all.

The small files are read here, with limits; `tokenizer.json` is given to the `tokenizers` library, in a process of
its own (see `limited.py`), because a regular expression in it can be written so that it never ends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

# The largest tokenizer.json files in use are about 35 MB (262,144 entries); a configuration or a template is some KB.
MAX_TOKENIZER_BYTES = 256 << 20
MAX_CONFIG_BYTES = 16 << 20
MAX_TEMPLATE_BYTES = 1 << 20
MAX_TEMPLATES = 64
# transformers 5.23, tokenization_utils_base.py: PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES.
NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """A local tokenizer folder. `problem` says in one clause why it cannot be used, None where it can.

    `templates` maps names to Jinja sources, "default" first in use; `special_tokens` maps names such as "eos_token"
    to texts, and holds what a template may name as a variable; `control_tokens` are all the texts that the tokenizer
    turns into special tokens wherever they stand.
    """

    path: str
    problem: str | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    control_tokens: tuple[str, ...] = ()

    def template(self, *, tools: bool = False) -> str | None:
        """The source that is used for a conversation, with or without tools; None where there is none.

        As get_chat_template of transformers 5.23 (tokenization_utils_base.py) chooses it.
        """
        if tools and len(self.templates) > 1 and "tool_use" in self.templates:
            return self.templates["tool_use"]
        return self.templates.get("default")


class _TooLargeError(Exception):
    """A file that is larger than any of its kind."""


def read_tokenizer(path: Path) -> TokenizerFacts:
    """Reads the folder `path`; a folder that is missing, broken or hostile is a problem in the answer."""
    shown = str(path)
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            return TokenizerFacts(path=shown, problem="it is not a folder")
        if read_regular(path / "tokenizer.json", MAX_TOKENIZER_BYTES, content=False) is None:
            return TokenizerFacts(path=shown, problem="it holds no tokenizer.json")
        config = _json_object(path / "tokenizer_config.json")
        legacy = {} if "added_tokens_decoder" in config else _json_object(path / "special_tokens_map.json")
        named = _named_tokens({**config, **legacy})
        templates = _templates(path, config)
    except OSError as error:
        return TokenizerFacts(path=shown, problem=f"it cannot be read: {error.strerror or error}")
    except _TooLargeError as error:
        return TokenizerFacts(path=shown, problem=str(error))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        return TokenizerFacts(path=shown, problem=f"a file of it is broken: {error}")
    control = {*named.values(), *_special_of(config)}
    return TokenizerFacts(
        path=shown,
        templates=templates,
        special_tokens=named,
        control_tokens=tuple(sorted(token for token in control if token.strip())),
    )


def read_regular(path: Path, limit: int, *, content: bool = True) -> bytes | None:
    """The bytes of a regular file, None where there is none; b"" without `content`, when only its size matters.

    Raises OSError, also for what is no regular file, and for a file over `limit` bytes an error that
    `read_tokenizer` turns into a problem. A link may lead outside: the caches of the Hub are made of links.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, f"{path.name} is no regular file")
        if status.st_size > limit:
            raise _TooLargeError(f"{path.name} has {status.st_size} bytes, more than {limit}")
        return file.read(limit + 1)[:limit] if content else b""


def _json_object(path: Path) -> dict[str, Any]:
    raw = read_regular(path, MAX_CONFIG_BYTES)
    if raw is None:
        return {}
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name}: it is no JSON object")
    return value


def _named_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """The named special tokens, each a string or, as AddedToken is written, an object with `content`."""
    named = {}
    for name in NAMED_TOKENS:
        token = _text_of(config.get(name))
        if token is not None:
            named[name] = token
    return named


def _text_of(token: object) -> str | None:
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _special_of(config: Mapping[str, Any]) -> set[str]:
    """The further special tokens that the configuration lists, under the names of transformers 4 and 5."""
    found: set[str] = set()
    for key in ("additional_special_tokens", "extra_special_tokens"):
        value = config.get(key)
        tokens = list(value.values()) if isinstance(value, dict) else value
        if isinstance(tokens, list):
            found.update(text for text in map(_text_of, tokens) if text is not None)
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        entries = [each for each in decoder.values() if isinstance(each, dict) and each.get("special") is True]
        found.update(text for text in map(_text_of, entries) if text is not None)
    return found


def _templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """Files come before the key of the configuration: transformers 5.23, PreTrainedTokenizerBase._from_pretrained."""
    found: dict[str, str] = {}
    raw = read_regular(folder / "chat_template.jinja", MAX_TEMPLATE_BYTES)
    if raw is not None:
        found["default"] = _universal_newlines(raw)
    more = folder / "additional_chat_templates"
    if more.is_dir():
        for file in sorted(more.glob("*.jinja"))[:MAX_TEMPLATES]:
            raw = read_regular(file, MAX_TEMPLATE_BYTES)
            if raw is not None:
                found[file.name.removesuffix(".jinja")] = _universal_newlines(raw)
    if found:
        return found
    value = config.get("chat_template")
    if isinstance(value, str):
        return {"default": value}
    if isinstance(value, list):  # transformers 4 wrote several templates as a list of name and template
        pairs = [(each.get("name"), each.get("template")) for each in value[:MAX_TEMPLATES] if isinstance(each, dict)]
        return {name: source for name, source in pairs if isinstance(name, str) and isinstance(source, str)}
    return {}


def _universal_newlines(raw: bytes) -> str:
    # transformers opens the file in text mode, which turns \r\n and \r into \n.
    return raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
