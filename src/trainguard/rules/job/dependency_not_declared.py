"""JOB009: the script imports what the job does not install."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from trainguard.facts.certainty import certainly_runs, guarding_handlers
from trainguard.facts.declared import Declared
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Block, Import
from trainguard.findings import Finding
from trainguard.libraries.imports import DISTRIBUTIONS
from trainguard.libraries.packages import distributions_of, is_known
from trainguard.rules.base import Example, Rule, Subject
from trainguard.rules.job._subject import available

_CATCH_IMPORT_ERRORS = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_MESSAGE = (
    "import of {0} needs the package {1}, which neither the declared dependencies nor the image bring in, so the "
    'script ends with ModuleNotFoundError; add "{1}" to dependencies'
)


class DependencyNotDeclared(Rule):
    """An import of a package that the job does not install.

    *What it does*

    Compares the imports that run for certain with what the job installs: its dependencies, the PEP 723 block,
    `pip install` in the script or command, what these bring with them (`trl` brings `transformers`, `datasets`,
    `accelerate` and `torch`), and the image. Optional imports (`try`/`except ImportError`, a condition) may be
    missing. Where something is installed that cannot be read, such as `-r requirements.txt`, the rule is silent.

    *Why it costs you*

    The job is queued, the machine starts and installs everything else, and then the script ends at once.

    *Example*

    ```python
    import wandb  # dependencies=["trl"]
    ```

    *Use instead*

    ```python
    import wandb  # dependencies=["trl", "wandb"]
    ```
    """

    code = "JOB009"
    name = "dependency-not-declared"
    severity = "error"
    area = "job"
    needs = frozenset({"script", "dependencies"})

    VALID = (
        Example(
            script="import json\nimport torch\nfrom transformers import Trainer\nfrom trl import SFTTrainer\n",
            job={"dependencies": ["trl"]},
            why="trl brings the others.",
        ),
        Example(
            script="try:\n    import wandb\nexcept ImportError:\n    wandb = None\n",
            job={"dependencies": ["trl"]},
            why="An optional import.",
        ),
        Example(
            script="import importlib.util\nfrom typing import TYPE_CHECKING\n"
            'if importlib.util.find_spec("wandb"):\n    import wandb\nif TYPE_CHECKING:\n    import pandera\n',
            job={"dependencies": ["trl"]},
            why="The script asks first, and types are not imported when it runs.",
        ),
        Example(
            script="import subprocess, sys\n"
            'subprocess.check_call([sys.executable, "-m", "pip", "install", "rouge_score"])\nimport rouge_score\n',
            job={"dependencies": ["trl"]},
            why="The script installs it.",
        ),
        Example(
            script="import yaml\nfrom sklearn.metrics import f1_score\nfrom PIL import Image\n",
            job={"dependencies": ["PyYAML", "scikit_learn", "pillow"]},
            why="Packages whose modules have other names.",
        ),
        Example(
            script="import wandb\n",
            job={"image": "ann/trainer:3", "dependencies": ["trl"]},
            why="Nobody knows what the image holds.",
        ),
        Example(
            script="def plot():\n    import seaborn\n    return seaborn\n",
            job={"dependencies": ["trl"]},
            why="Nothing calls the function.",
        ),
    )
    INVALID = (
        Example(
            script="import os\nimport wandb\nfrom trl import SFTTrainer\n",
            job={"dependencies": ["trl"]},
            findings=((2, _MESSAGE.format("wandb", "wandb")),),
        ),
        Example(
            script="# /// script\n# dependencies = ['transformers']\n# ///\nimport torch\nimport transformers\n",
            findings=((4, _MESSAGE.format("torch", "torch")),),
            why="transformers does not bring torch; the PEP 723 block alone is enough to know.",
        ),
        Example(
            script="from trl import SFTTrainer\n\n\ndef score(rows):\n    from sklearn.metrics import f1_score\n"
            "    import sklearn.svm\n    return f1_score(rows, rows)\n\n\nscore([1])\n",
            job={"dependencies": ["trl"]},
            findings=((5, _MESSAGE.format("sklearn", "scikit-learn")),),
            why="The import stands in a function that is called.",
        ),
        Example(
            job={"command": ["python", "-c", "try:\n    import torch\nexcept ValueError:\n    pass\n"]},
            findings=((2, _MESSAGE.format("torch", "torch")),),
            why="The plain Python image brings nothing, and the handler catches something else.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or subject.job is None or not _is_knowable(subject):
            return
        installed: Declared | None = None
        seen: set[str] = set()
        for found in script.imports:
            top = found.module.partition(".")[0]
            if found.level or not top or top in seen:
                continue
            distributions = distributions_of(f"{found.module}.{found.name}" if found.name else found.module)
            if not distributions or _is_optional(found.block) or not certainly_runs(found.block, script.resolver):
                continue
            installed = installed or available(subject)
            if not installed.complete:
                return
            if installed.has(*distributions) or _may_be_own(found, distributions, subject, script):
                continue
            seen.add(top)
            yield self._about(found, distributions[0], script)

    def _about(self, found: Import, distribution: str, script: ScriptFacts) -> Finding:
        return self.finding(
            _MESSAGE.format(found.module.partition(".")[0], distribution),
            where=script.resolver.location(found.node),
            fix=f'dependencies=[…, "{distribution}"]',
            evidence={"module": found.module, "distribution": distribution},
        )


def _is_knowable(subject: Subject) -> bool:
    """Whether what is not declared is not there: on one's own machine anything may be installed."""
    assert subject.job is not None
    return subject.job.remote or subject.job.pep723 is not None


def _is_optional(block: Block) -> bool:
    return any(_catches_import_errors(handler.type) for handler in guarding_handlers(block)) or any(
        around.kind == "with" and "suppress" in ast.dump(item.context_expr)
        for around in block.ancestors()
        if isinstance(around.owner, ast.With)
        for item in around.owner.items
    )


def _catches_import_errors(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    parts = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    names = {part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "") for part in parts}
    return bool(names & _CATCH_IMPORT_ERRORS) or not all(names)


def _may_be_own(found: Import, distributions: tuple[str, ...], subject: Subject, script: ScriptFacts) -> bool:
    """Whether the module may be a file beside the script instead of a package of an index."""
    top = found.module.partition(".")[0]
    if top in DISTRIBUTIONS or any(is_known(distribution) for distribution in distributions):
        return False
    return script.path is not None or any(_brings_files(subject, script, top))


def _brings_files(subject: Subject, script: ScriptFacts, module: str) -> Iterator[bool]:
    yield bool({"chdir", "snapshot_download", "hf_hub_download", "urlretrieve", "syspath"} & script.mentions)
    yield "sys.path" in script.text or f"{module}.py" in script.text or "PYTHONPATH" in script.text
    job = subject.job
    if job is not None:
        yield bool(job.volumes) or "PYTHONPATH" in job.env
    commands = [*script.commands, *([job.command] if job is not None and job.command is not None else [])]
    for command in commands:
        yield bool(command.clones or command.downloads or command.files) or not command.complete
