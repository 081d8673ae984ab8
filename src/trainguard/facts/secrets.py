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

# Forms as their issuers write them. Hugging Face: `hf_` and 34 letters (docs/hub/security-tokens.md shows the
# prefix; the length is that of tokens in circulation). OpenAI and Anthropic: `sk-`, newer ones with a scope.
# AWS: docs.aws.amazon.com/IAM, "unique identifiers" (AKIA lasting, ASIA temporary, 20 characters in all).
# GitHub: docs.github.com, "token formats". W&B: 40 hexadecimal digits, in newer accounts `wandb_v1_…`.
_FORMS = {
    "hf": (HUGGING_FACE, r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b"),
    "sk": ("API key (sk-…)", r"\bsk-(?:(?:proj|svcacct|admin|None|or-v1|ant-[a-z0-9]+)-[\w-]{30,}|[A-Za-z0-9]{32,})\b"),
    "aws": ("AWS access key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "awssecret": (
        "AWS secret key",
        r"(?i:aws_?secret_?(?:access_?)?key)\W{1,6}(?P<awsvalue>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
    ),
    "github": ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b"),
    "gitlab": ("GitLab token", r"\bglpat-[\w-]{20,}"),
    "wandbnew": (WANDB, r"\bwandb_v1_[A-Za-z0-9_]{40,}\b"),
    # 40 hexadecimal digits alone are a commit as well: they count only behind W&B's own names.
    "wandb": (
        WANDB,
        r"(?i:wandb\w*(?:key|token)|wandb[ .]login)\b[^\n]{0,24}?(?<![0-9a-zA-Z])(?P<wandbvalue>[0-9a-f]{40})(?![0-9a-zA-Z])",
    ),
    "key": (
        "private key",
        r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY(?: BLOCK)?-----(?P<body>(?:\\n|[\sA-Za-z0-9+/=:,\"'-]){60,})",
    ),
}
_ANY = re.compile("|".join(f"(?P<{name}>{form})" for name, (_, form) in _FORMS.items()))
# One of these stands in every text that has a token: looking for them is a hundred times cheaper.
_HINTS = ("hf_", "api_org_", "sk-", "AKIA", "ASIA", "secret", "SECRET", "Secret", "gh", "glpat-", "wandb", "WANDB",
          "PRIVATE KEY")  # fmt: skip

_PLACEHOLDER = re.compile(
    r"x{4,}|\*{3,}|\.{3}|your|token|secret|example|placeholder|dummy|fake|sample|replace|insert|change_?me|"
    r"redacted|hidden|goes_?here|my_?key|test_?key|none_?given|(.)\1{5,}",
    re.IGNORECASE,
)
_FEWEST_CHARACTERS = 8  # a random token of 20 and more characters has at least this many different ones
_RUNS = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", "1234567890")


def find_secrets(text: str) -> list[Secret]:
    """The tokens in a text, in order; placeholders (`hf_xxx`, `YOUR_TOKEN`, `$HF_TOKEN`) are none."""
    if not any(hint in text for hint in _HINTS):
        return []
    return list(_matches(text))


def mask_secrets(text: str) -> str:
    """`text` with every token overwritten by asterisks, character for character; lines stay lines."""
    for secret in find_secrets(text):
        hidden = re.sub(r"[^\n]", "*", text[secret.start : secret.end])
        text = text[: secret.start] + hidden + text[secret.end :]
    return text


def is_wandb_key(value: str) -> bool:
    """Whether a text that is used as a key of Weights & Biases has the form of one."""
    return re.fullmatch(r"[0-9a-f]{40}|wandb_v1_\w{40,}", value) is not None and not _is_placeholder(value)


def _matches(text: str) -> Iterator[Secret]:
    for match in _ANY.finditer(text):
        name = str(match.lastgroup)
        if name not in _FORMS:  # the named part of a form: its form is the one around it
            name = next(form for form in _FORMS if match[form] is not None)
        part = {"wandb": "wandbvalue", "awssecret": "awsvalue"}.get(name, name)
        token = match[part]
        body = match["body"] if name == "key" else token
        if name == "key" and not _is_key_body(body):
            continue
        if not _is_placeholder(body if name == "key" else re.sub(r"^(?:[A-Za-z]+_|sk-)", "", token)):
            yield Secret(kind=_FORMS[name][0], start=match.start(part), end=match.end(part))


def _is_key_body(body: str) -> bool:
    """Base64, and not prose about keys."""
    letters = re.sub(r"\\n|[\s\"',-]", "", body)
    longest = max((len(word) for word in re.split(r"\\n|[\s\"',-]+", body)), default=0)
    return len(letters) >= 48 and longest >= 32


def _is_placeholder(token: str) -> bool:
    if _PLACEHOLDER.search(token) or len(set(token.lower())) < _FEWEST_CHARACTERS:
        return True
    in_runs = sum(len(run) for run in _runs_of(token))
    return in_runs * 2 > len(token)


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
