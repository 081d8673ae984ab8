"""Access tokens that stand in a text, told from placeholders by their form.

A `Secret` says where and of which kind it is; it does not hold the token, so that nothing can print it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One token in a text: `start` and `end` are offsets in characters, `kind` is what it opens."""

    kind: str
    start: int
    end: int


HUGGING_FACE = "Hugging Face access token"
WANDB = "Weights & Biases API key"


@dataclass(frozen=True, slots=True)
class _Form:
    """How a kind of token is written. `hints` are texts, one of which stands wherever a token does."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    prefix: str = ""


# Forms as their issuers write them. Hugging Face: `hf_` and 34 letters (docs/hub/security-tokens.md shows the
# prefix; the length is that of tokens in circulation). OpenAI and Anthropic: `sk-`, newer ones with a scope.
# AWS: docs.aws.amazon.com/IAM, "unique identifiers" (AKIA lasting, ASIA temporary, 20 characters in all).
# GitHub: docs.github.com, "token formats". W&B: 40 hexadecimal digits, in newer accounts `wandb_v1_…`.
# The patterns begin with plain text, which `re` finds fast; what stands in front is looked at afterwards.
_FORMS = (
    _Form(HUGGING_FACE, ("hf_",), re.compile(r"(?P<token>hf_[A-Za-z0-9]{30,})\b"), "hf_"),
    _Form(HUGGING_FACE, ("api_org_",), re.compile(r"(?P<token>api_org_[A-Za-z0-9]{30,})\b"), "api_org_"),
    _Form(
        "API key (sk-…)",
        ("sk-",),
        re.compile(r"(?P<token>sk-(?:(?:proj|svcacct|admin|None|or-v1|ant-[a-z0-9]+)-[\w-]{30,}|[A-Za-z0-9]{32,}))\b"),
        "sk-",
    ),
    _Form("AWS access key", ("AKIA",), re.compile(r"(?P<token>AKIA[A-Z0-9]{16})\b"), "AKIA"),
    _Form("AWS access key", ("ASIA",), re.compile(r"(?P<token>ASIA[A-Z0-9]{16})\b"), "ASIA"),
    _Form(
        "AWS secret key",
        ("secret", "SECRET", "Secret"),
        re.compile(r"(?i:secret_?(?:access_?)?key)\W{1,6}(?P<token>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=_-])"),
    ),
    _Form(
        "GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"(?P<token>gh[pousr]_[A-Za-z0-9]{36,})\b")
    ),
    _Form("GitHub token", ("github_pat_",), re.compile(r"(?P<token>github_pat_[A-Za-z0-9_]{50,})\b")),
    _Form("GitLab token", ("glpat-",), re.compile(r"(?P<token>glpat-[\w-]{20,})"), "glpat-"),
    _Form(WANDB, ("wandb_v1_",), re.compile(r"(?P<token>wandb_v1_\w{40,})\b"), "wandb_v1_"),
    # 40 hexadecimal digits alone are a commit as well: they count only behind W&B's own names.
    _Form(
        WANDB,
        ("wandb", "WANDB"),
        re.compile(
            r"(?i:wandb\w*(?:key|token)|wandb[ .]login)\b[^\n]{0,24}?"
            r"(?<![0-9a-zA-Z])(?P<token>[0-9a-f]{40})(?![0-9a-zA-Z])"
        ),
    ),
    _Form(
        "private key",
        ("PRIVATE KEY",),
        re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----(?P<token>(?:\\n|[\sA-Za-z0-9+/=:,\"'-]){60,})"),
    ),
)

_PLACEHOLDER = re.compile(
    r"x{4,}|\*{3,}|\.{3}|your|token|secret|example|placeholder|dummy|fake|sample|replace|insert|change_?me|"
    r"redacted|hidden|goes_?here|my_?key|test_?key|none_?given|(.)\1{5,}",
    re.IGNORECASE,
)
_FEWEST_CHARACTERS = 8  # a random token of 20 and more characters has at least this many different ones
_RUNS = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "1234567890")


def find_secrets(text: str) -> list[Secret]:
    """The tokens in a text, in order; placeholders (`hf_xxx`, `YOUR_TOKEN`, `$HF_TOKEN`) are none."""
    found = [secret for form in _FORMS if any(hint in text for hint in form.hints) for secret in _matches(form, text)]
    return sorted(found, key=lambda secret: secret.start)


def mask_secrets(text: str) -> str:
    """`text` with every token overwritten by asterisks, character for character; lines stay lines."""
    for secret in find_secrets(text):
        hidden = re.sub(r"[^\n]", "*", text[secret.start : secret.end])
        text = text[: secret.start] + hidden + text[secret.end :]
    return text


def is_wandb_key(value: str) -> bool:
    """Whether a text that is used as a key of Weights & Biases has the form of one."""
    return re.fullmatch(r"[0-9a-f]{40}|wandb_v1_\w{40,}", value) is not None and not _is_placeholder(value, digits=True)


def _matches(form: _Form, text: str) -> Iterator[Secret]:
    for match in form.pattern.finditer(text):
        token = match["token"]
        before = text[match.start() - 1] if match.start() else " "
        if match.start() == match.start("token") and (before.isalnum() or before in "_-"):
            continue
        if form.kind == "private key":
            if _is_key_body(token):
                yield Secret(kind=form.kind, start=match.start(), end=match.end())
        elif not _is_placeholder(token.removeprefix(form.prefix), digits=form.kind == WANDB):
            yield Secret(kind=form.kind, start=match.start("token"), end=match.end("token"))


def _is_key_body(body: str) -> bool:
    """Base64, and not prose about keys."""
    letters = re.sub(r"\\n|[\s\"',-]", "", body)
    if "xxxx" in letters.lower():
        return False
    longest = max((len(word) for word in re.split(r"\\n|[\s\"',-]+", body)), default=0)
    return len(letters) >= 48 and longest >= 32


def _is_placeholder(token: str, *, digits: bool = False) -> bool:
    """Whether a token is made of words, of few characters, or of the alphabet; the last does not tell for `digits`."""
    if _PLACEHOLDER.search(token) or len(set(token.lower())) < _FEWEST_CHARACTERS:
        return True
    in_runs = sum(len(run) for run in _runs_of(token))
    return not digits and in_runs * 2 > len(token)


def _runs_of(token: str) -> Iterator[str]:
    """The stretches of five and more characters that stand in the order of the alphabet or keyboard."""
    start = 0
    for end in range(1, len(token) + 1):
        piece = token[start : end + 1] if end < len(token) else ""
        if piece and any(piece in run for run in _RUNS):
            continue
        if end - start >= 5:
            yield token[start:end]
        start = end
