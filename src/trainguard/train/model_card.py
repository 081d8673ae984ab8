"""README.md of a trained model: on what, how, and what the guard said. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainguard.facts.config.schema import RunConfig
from trainguard.findings import Finding
from trainguard.train.identity import Identity
from trainguard.train.lineage import Start

# Alerts' addresses and databases hold passwords; the queue and the alerts say nothing about the model.
_LEFT_OUT = ("alerts", "queue")


def model_card(
    run: RunConfig,
    identity: Identity,
    start: Start,
    *,
    name: str,
    planned_steps: int,
    metrics: Mapping[str, Any],
    findings: Sequence[Finding],
    libraries: Mapping[str, str],
    base_on_hub: str | None,
) -> str:
    """Markdown with the metadata that the Hub reads (huggingface_hub 1.x, repocard_data.py `ModelCardData`)."""
    import msgspec

    plain = {key: value for key, value in msgspec.to_builtins(run).items() if key not in _LEFT_OUT}
    lines = ["---", "library_name: transformers"]
    if base_on_hub is not None:
        lines.append(f"base_model: {base_on_hub}")
    lines += ["tags:", "- sft", "- trl", "- trainguard", "---", "", f"# {name}", ""]
    lines += [
        f"`{run.base_model}` after supervised fine-tuning ({run.method}): {planned_steps:,} optimizer steps of "
        f"{identity.effective_batch:,} examples"
        + (f", step {start.step_before + planned_steps:,} of its lineage." if start.step_before else "."),
        "",
        "## Data",
        "",
    ]
    if identity.files:
        lines += ["| file | bytes | SHA-256 | XXH3-128 |", "|---|---|---|---|"]
        lines += [
            f"| `{_cell(each.name)}` | {each.bytes:,} | `{each.sha256}` | `{each.xxh3_128}` |"
            for each in identity.files
        ]
    else:
        lines.append("From the Hub: " + ", ".join(f"`{_cell(each)}`" for each in identity.names))
    if start.history:
        lines += ["", "Trained before, in order:", ""]
        lines += [
            f"{each.get('file_number', '?')}. `{_cell(str(each.get('names', '')))}`: {each.get('steps', 0):,} steps, "
            f"data hash `{each.get('data_hash', '')}`"
            for each in start.history
        ]
    if metrics:
        lines += ["", "## Results", "", "| metric | value |", "|---|---|"]
        lines += [f"| {_cell(key)} | {_number(value)} |" for key, value in metrics.items()]
    lines += ["", "## What the guard said", ""]
    lines += [f"- {_finding(each)}" for each in findings] or ["Nothing."]
    lines += ["", "## Configuration", "", "```json", json.dumps(plain, indent=2, default=str), "```", ""]
    lines += ["## Versions", "", "| library | version |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in libraries.items()]
    return "\n".join(lines) + "\n"


def _finding(finding: Finding) -> str:
    at = f" at step {finding.step:,}" if finding.step is not None else ""
    return f"{finding.severity} {finding.code or ''}{at}: {_cell(finding.message)}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())


def _number(value: Any) -> str:
    return (
        f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else _cell(str(value))
    )


def last_metrics(history: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Of the Trainer's log, the newest value of each metric that a card shows."""
    wanted = (
        "train_loss",
        "train_runtime",
        "loss",
        "mean_token_accuracy",
        "num_tokens",
        "eval_loss",
        "eval_mean_token_accuracy",
    )
    found: dict[str, Any] = {}
    for line in history:
        found.update({key: value for key, value in line.items() if key in wanted})
    return found


def library_versions() -> dict[str, str]:
    """What trained the model, by release."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("trainguard", "torch", "transformers", "trl", "peft", "accelerate", "datasets"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
