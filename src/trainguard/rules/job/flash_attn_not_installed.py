"""JOB004: flash attention is asked for, and not installed."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from trainguard.facts.attention import attention_requests
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Block
from trainguard.facts.values import texts
from trainguard.findings import Finding, Location
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.job._subject import available

_IMPLEMENTATIONS = frozenset({"flash_attention_2", "flash_attention_3"})
_PACKAGES = ("flash-attn", "flash-attn-3", "flash-attn-interface")


class FlashAttnNotInstalled(Rule):
    """`flash_attention_2` is asked for and `flash-attn` is not installed.

    *What it does*

    Fires when a model is loaded with `attn_implementation="flash_attention_2"` (or `_3`) and `flash-attn` is
    neither among the dependencies, nor in the PEP 723 block, nor installed by the script or the command. With
    `kernels` installed transformers 5 falls back to the hub's kernel (`FLASH_ATTN_KERNEL_FALLBACK` in its
    `modeling_flash_attention_utils.py`), so that is fine too.

    *Why it costs you*

    Loading the model raises ImportError after the machine was provisioned and the weights downloaded; adding
    `flash-attn` to the dependencies compiles for a long time where no wheel fits.

    *Example*

    ```python
    AutoModelForCausalLM.from_pretrained(name, attn_implementation="flash_attention_2")
    ```

    *Use instead*

    ```python
    # with `kernels` among the dependencies
    AutoModelForCausalLM.from_pretrained(name, attn_implementation="kernels-community/flash-attn2")
    ```
    """

    code = "JOB004"
    name = "flash-attn-not-installed"
    severity = "warn"
    area = "job"
    needs = frozenset({"script", "dependencies"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or subject.job is None or not self._is_mentioned(script):
            return
        installed = available(subject)
        if installed.has(*_PACKAGES, "kernels") or not installed.complete:
            return
        for wanted, where in _requests(script):
            yield self.finding(
                f"{wanted} needs the package flash-attn, which the job does not install, so loading the model raises "
                'ImportError; use attn_implementation="kernels-community/flash-attn2" and declare kernels, or declare '
                "flash-attn",
                where=where,
                fix='attn_implementation="kernels-community/flash-attn2", with kernels among the dependencies',
            )
            return

    def _is_mentioned(self, script: ScriptFacts) -> bool:
        words = ("flash_attention", "use_flash_attention_2")
        return any(word in script.text or any(word in a for a in script.arguments or ()) for word in words)

    _END = (
        " needs the package flash-attn, which the job does not install, so loading the model raises ImportError; use "
        'attn_implementation="kernels-community/flash-attn2" and declare kernels, or declare flash-attn'
    )
    _LOAD = (
        "from transformers import AutoModelForCausalLM\n"
        'model = AutoModelForCausalLM.from_pretrained("gpt2", attn_implementation="{}")\n'
    )
    VALID = (
        Example(
            script=_LOAD.format("flash_attention_2"), job={"dependencies": ["transformers", "torch", "flash-attn>=2.6"]}
        ),
        Example(
            script=_LOAD.format("kernels-community/flash-attn2"),
            job={"dependencies": ["transformers", "torch", "kernels"]},
            why="The hub's kernel needs no flash-attn.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                "from transformers.utils import is_flash_attn_2_available\n"
                'attn = "flash_attention_2" if is_flash_attn_2_available() else "sdpa"\n'
                'model = AutoModelForCausalLM.from_pretrained("gpt2", attn_implementation=attn)\n'
            ),
            job={"dependencies": ["transformers", "torch"]},
            why="It is only used where it is installed.",
        ),
        Example(
            script=(
                "import subprocess, sys\n"
                'subprocess.run([sys.executable, "-m", "pip", "install", "flash-attn"], check=True)\n'
            )
            + _LOAD.format("flash_attention_2"),
            job={"dependencies": ["transformers", "torch"]},
            why="The script installs it.",
        ),
        Example(
            script='# attn_implementation="flash_attention_2" needs an A100\n' + _LOAD.format("sdpa"),
            job={"dependencies": ["transformers", "torch"]},
            why="A comment asks for nothing.",
        ),
    )
    INVALID = (
        Example(
            script=_LOAD.format("flash_attention_2"),
            job={"dependencies": ["transformers", "torch"]},
            findings=((2, "flash_attention_2" + _END),),
        ),
        Example(
            script=(
                "from trl import SFTConfig, SFTTrainer\n"
                'ATTENTION = "flash_attention_3"\n'
                'args = SFTConfig("out", model_init_kwargs={"attn_implementation": ATTENTION})\n'
                'SFTTrainer("gpt2", args=args).train()\n'
            ),
            job={"dependencies": ["trl"]},
            findings=((3, "flash_attention_3" + _END),),
            why="The option stands in a nested dict.",
        ),
        Example(
            script="import argparse\nfrom transformers import AutoModelForCausalLM\n"
            "parser = argparse.ArgumentParser()\n"
            'parser.add_argument("--attn", default="flash_attention_2")\n'
            "args = parser.parse_args()\n"
            'model = AutoModelForCausalLM.from_pretrained("gpt2", attn_implementation=args.attn)\n',
            job={"dependencies": ["transformers", "torch"]},
            findings=((6, "flash_attention_2" + _END),),
            why="The default of the command line counts.",
        ),
        Example(
            script=(
                '# /// script\n# dependencies = ["transformers", "torch"]\n# ///\n' + _LOAD.format("flash_attention_2")
            ),
            findings=((5, "flash_attention_2" + _END),),
            why="The PEP 723 block says what is installed.",
        ),
    )


def _requests(script: ScriptFacts) -> Iterator[tuple[str, Location]]:
    """What asks for flash attention for certain, with its place."""
    for request in attention_requests(script):
        known = texts(request.value)
        if known and known <= _IMPLEMENTATIONS and not _is_guarded(request.block):
            yield min(known), request.where
    given = list(script.arguments or ())
    for flag, following in zip(given, [*given, ""][1:], strict=True):
        wanted = flag.partition("=")[2] if "=" in flag else following
        if flag.startswith("--attn_implementation") and wanted in _IMPLEMENTATIONS and script.training.entry:
            yield wanted, script.training.entry


def _is_guarded(block: Block) -> bool:
    """Whether it stands under a condition about flash attention, or in a `try` that handles its absence."""
    around: Block | None = block
    while around is not None:
        owner = around.owner
        if around.kind in ("if", "else") and isinstance(owner, ast.If):
            words = ast.dump(owner.test).lower()
            if any(word in words for word in ("flash", "capability", "find_spec", "major", "available")):
                return True
        if around.kind == "try" and isinstance(owner, ast.Try) and owner.handlers:
            return True
        around = around.parent
    return False
