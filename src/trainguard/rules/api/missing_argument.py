"""API004: an argument that the callable requires is not given."""

from __future__ import annotations

from collections.abc import Iterable

from trainguard.facts.api import ApiFacts
from trainguard.facts.api_calls import ApiCalls, BoundCall
from trainguard.facts.api_calls_binding import Target
from trainguard.findings import Finding
from trainguard.libraries.api.query import Past
from trainguard.libraries.api.records import POSITIONAL_ONLY, Parameter
from trainguard.libraries.api.signatures import Signatures
from trainguard.rules.api._reading import api_calls
from trainguard.rules.api._wording import distribution, joined, pin, release
from trainguard.rules.base import Example, Rule, Subject


class MissingArgument(Rule):
    """A call that leaves out an argument without which the library cannot be called.

    *What it does*

    Compares what a call gives, by name, by position and spread, with what the callable requires in the version that
    the job's dependencies resolve to. Silent where more may be given than can be read (`*args`, `**kwargs`).

    *Why it costs you*

    Python raises a TypeError at the call, on a machine that is paid for.

    *Example*

    ```python
    TrainingArguments(num_train_epochs=1)  # transformers 4.46
    ```

    *Use instead*

    ```python
    TrainingArguments(output_dir="out", num_train_epochs=1)
    ```
    """

    code = "API004"
    name = "missing-argument"
    severity = "error"
    area = "api"

    VALID = (
        Example(
            script="from transformers import TrainingArguments\nTrainingArguments(num_train_epochs=1)\n",
            job={"dependencies": ["transformers==5.23.0"]},
            why="In this release it has a default.",
        ),
        Example(
            script="from functools import partial\nfrom transformers import TrainingArguments\n"
            'make = partial(TrainingArguments, num_train_epochs=1)\nmake(output_dir="out")\n',
            job={"dependencies": ["transformers==4.46.3"]},
            why="The rest is given later.",
        ),
    )
    INVALID = (
        Example(
            script=("from trl import SFTTrainer\ntrainer = SFTTrainer(train_dataset=data)\n"),
            job={"dependencies": ["trl==1.16.0"]},
            findings=((2, "SFTTrainer() needs model in trl 1.16.0; required since trl 0.15.0; give model="),),
        ),
        Example(
            script=(
                "from transformers import DataCollatorForLanguageModeling\n"
                "collator = DataCollatorForLanguageModeling(mlm=False)\n"
            ),
            job={"dependencies": ["transformers==5.23.0"]},
            findings=(
                (2, "DataCollatorForLanguageModeling() needs tokenizer in transformers 5.23.0; give tokenizer="),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        calls = api_calls(subject)
        if calls is None or subject.api is None:
            return
        for bound in calls.calls:
            if not bound.is_whole or bound.call.may_have_more:
                continue
            lacking = [_lacking(bound, target) for target in bound.targets]
            if all(lacking) and not calls.guarded(bound.call.node, "call"):
                yield self._incomplete(subject.api, calls, bound, lacking[0])

    def _incomplete(self, api: ApiFacts, calls: ApiCalls, bound: BoundCall, lacking: list[Parameter]) -> Finding:
        target = bound.targets[0]
        library = target.path.partition(".")[0]
        names = [parameter.name for parameter in lacking]
        past = _past(calls, bound, library)
        kept = pin(api, past)
        since = ""
        if past.last is not None:
            since = f"required since {distribution(library)} {past.gone}"
        elif past.added is not None:
            since = f"it has a default since {distribution(library)} {past.added}"
        return self.finding(
            joined(
                f"{target.name}() needs {_listed(names)} in {release(api, library)}",
                since,
                f"give {_listed([f'{name}=' for name in names])}",
                f"or pin {kept}" if kept else "",
            ),
            where=bound.call.location,
            fix=", ".join(f"{name}=…" for name in names),
            evidence={
                "callable": target.path,
                "arguments": names,
                "library": library,
                "version": calls.interfaces.version(library),
            },
        )


def _lacking(bound: BoundCall, target: Target) -> list[Parameter]:
    count = bound.call.positional_count
    by_position = {parameter.name for parameter in target.signature.positional[:count]}
    given = by_position | target.own_fields
    return [
        p
        for p in target.signature.required
        if p.name not in given and (p.kind == POSITIONAL_ONLY or p.name not in bound.call.keywords)
    ]


def _past(calls: ApiCalls, bound: BoundCall, library: str) -> Past:
    """In which other releases the call would be whole."""
    path = bound.targets[0].path

    def has(version: str) -> bool:
        signature = Signatures(calls.interfaces.at(library, version)).of(path)
        return signature is not None and not _lacking(bound, Target(path, signature, bound.targets[0].own_fields))

    return calls.interfaces.timeline(library, has)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
