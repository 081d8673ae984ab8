"""Makes text of a scanned file safe to print: no control characters, no secrets."""

from __future__ import annotations

import re

# Shapes of access tokens. A source line is printed for its caret, not for its token, so every line is
# masked, whichever rule points at it; wider than what JOB012 calls a token, since a star too many does
# no harm. Prefixes as in the issuers' documentation:
#   hf_, api_org_: https://huggingface.co/docs/hub/security-tokens · sk-: OpenAI and Anthropic
#   AKIA, ASIA: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
#   gh?_, github_pat_: GitHub · glpat-: GitLab · wandb_v1_ and 40 hexadecimal digits: Weights & Biases
# and, without a prefix, 40 mixed characters (an AWS secret key) or 64 (a line of a PEM file).
_MIXED = r"(?=[a-z/+\d]*[A-Z])(?=[A-Z/+\d]*[a-z])(?=[A-Za-z/+]*\d)"
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(hf_|api_org_|sk-|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|wandb_v1_)[A-Za-z0-9_-]{12,}"
    r"|(?<![A-Za-z0-9])()[0-9a-fA-F]{40}(?![A-Za-z0-9])"
    rf"|(?<![A-Za-z0-9/+])(){_MIXED}(?:[A-Za-z0-9/+]{{40}}|[A-Za-z0-9/+]{{64}})(?![A-Za-z0-9/+])"
)
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_-]{12,}")


def visible(text: str) -> str:
    """`text` with everything that is not printable written as an escape, such as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escaped(char) for char in text)


def escaped(char: str) -> str:
    """One unprintable character as Python would write it."""
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def masked(line: str, *, secret: bool = False) -> str:
    """`line` with tokens starred out, of the same length so that columns stay true.

    `secret` says that the finding is about a secret on this line: every long run of key characters goes.
    """
    line = _TOKEN.sub(_stars, line)
    return _LONG_RUN.sub(_stars, line) if secret else line


def _stars(match: re.Match[str]) -> str:
    prefix = (match[1] if match.re is _TOKEN else "") or ""
    return prefix + "*" * (len(match[0]) - len(prefix))
