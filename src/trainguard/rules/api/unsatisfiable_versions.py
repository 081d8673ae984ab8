"""API011: the declared versions of the training libraries contradict each other or the job's Python."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.script import ScriptFacts
from trainguard.findings import Finding, Location
from trainguard.libraries.resolution_records import Conflict
from trainguard.rules.base import Example, Rule, Subject

_TRL_AND_TRANSFORMERS = (
    "trl==0.12.2 needs transformers<4.47.0 (its own metadata), but the job asks for transformers>=5, so nothing is "
    "installed; take trl>=0.13.0 or transformers<4.47.0"
)
_TRL_ON_310 = (
    "trl==1.16.0 needs Python >=3.11 (its own metadata), but the job runs Python 3.10, so nothing is installed; "
    "take trl==1.14.2 or Python >=3.11"
)
_HUB_BETWEEN = (
    "trackio==0.43.0 and transformers==4.57.1 cannot be installed together: trackio 0.43.0 needs "
    "huggingface-hub<3,>=1.10.0; transformers 4.57.1 needs huggingface-hub<1.0,>=0.34.0, so nothing is installed; "
    "take trackio==0.20.2 or transformers==5.23.0"
)


class UnsatisfiableVersions(Rule):
    """Versions of the training libraries that no installer can bring together.

    *What it does*

    Resolves the declared dependencies (of the job, of the script's block, of each `pip install` of the command) as an
    installer would, from the metadata of every indexed release: what it requires, on which Python, and when it was
    published. Reports requirements that exclude each other whatever else is installed. Silent about releases that the
    index does not know, and about separate installations, of which the later one wins.

    *Why it costs you*

    The installer gives up before the script starts. The machine has been waited for and is paid for until then.

    *Example*

    ```python
    # /// script
    # dependencies = ["trl==0.12.2", "transformers>=5"]
    # ///
    ```

    *Use instead*

    ```python
    # /// script
    # dependencies = ["trl>=0.13.0", "transformers>=5"]
    # ///
    ```
    """

    code = "API011"
    name = "unsatisfiable-versions"
    severity = "error"
    area = "api"
    needs = frozenset({"dependencies"})

    VALID = (
        Example(script="import trl\n", job={"dependencies": ["trl==0.12.2", "transformers<5"]}),
        Example(
            job={"command": "pip install trl==0.12.2 && pip install -U 'transformers>=5' && python train.py"},
            why="Two installations: pip warns, and the second one wins.",
        ),
        Example(
            script="import trl\n",
            job={"dependencies": ["trl==99.1", "transformers<4"]},
            why="Nobody knows what that release will need.",
        ),
        Example(
            script="import trl\n",
            job={"dependencies": ["git+https://github.com/huggingface/trl", "transformers<5"]},
            why="What stands in a repository is not known.",
        ),
        Example(script="import trl\n", job={"dependencies": ["trl"], "python": "3.10"}, why="An older trl is taken."),
    )
    INVALID = (
        Example(
            script="import trl\n",
            job={"dependencies": ["trl==0.12.2", "transformers>=5"]},
            findings=((None, _TRL_AND_TRANSFORMERS),),
        ),
        Example(
            script='# /// script\n# dependencies = ["trl==0.12.2", "transformers>=5"]\n# ///\nimport trl\n',
            findings=((1, _TRL_AND_TRANSFORMERS),),
            why="The script's own block contradicts itself.",
        ),
        Example(
            script="import trl\n",
            job={"dependencies": ["trl==1.16.0"], "python": "3.10"},
            findings=((None, _TRL_ON_310),),
        ),
        Example(
            job={"command": "pip install trackio==0.43.0 transformers==4.57.1 && python train.py"},
            findings=((None, _HUB_BETWEEN),),
            why="They exclude each other through huggingface_hub, which neither the job nor its author names.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        conflict = subject.api.resolution.conflict if subject.api is not None else None
        if conflict is None:
            return
        remedies = " or ".join(conflict.remedies)
        advice = f"; take {remedies}" if remedies else "; ask for versions that go together"
        yield self.finding(
            f"{conflict.words}, so nothing is installed{advice}",
            where=_place(subject.script, conflict),
            fix=remedies or None,
            evidence={"requirements": list(conflict.requirements), "remedies": list(conflict.remedies)},
        )


def _place(script: ScriptFacts | None, conflict: Conflict) -> Location | None:
    """The script's block, where that declares what is in conflict."""
    block = script.pep723 if script is not None else None
    if script is None or block is None:
        return None
    declared = {"".join(text.split()) for text in block.dependencies or ()}
    return script.location(block.line) if declared.issuperset(conflict.requirements) else None
