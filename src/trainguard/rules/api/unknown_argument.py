"""API002: an argument that the callable does not take in the version that the job installs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainguard.facts.api import ApiFacts
from trainguard.facts.api_calls import ApiCalls, BoundCall, Given
from trainguard.facts.api_calls_binding import Target
from trainguard.facts.api_calls_lines import LineOption, OptionLine
from trainguard.findings import Finding, Fix, Location
from trainguard.libraries.api.query import Past
from trainguard.rules.api._arguments import (
    Successor,
    line_past,
    past_of,
    place,
    rename,
    successor,
)
from trainguard.rules.api._overrides import Lacking, lacking
from trainguard.rules.api._reading import api_calls, api_lines
from trainguard.rules.api._refusals import is_refused
from trainguard.rules.api._wording import history, joined, pin, release
from trainguard.rules.base import Example, Rule, Subject

# Options that launchers add to every script: torch 2.15, distributed/launch.py; deepspeed 0.18, launcher/launch.py.
_ANYWHERE = {"local_rank", "help"}


class UnknownArgument(Rule):
    """An argument that a function, method or constructor does not take in the version that the job installs.

    *What it does*

    Binds every call of a known library to its signature in the version that the job's dependencies resolve to:
    functions, constructors, class methods, methods on objects whose class is known, classes of the script that take
    over a library's constructor, `super().__init__(…)`, `functools.partial`, and what `**` spreads. Names the release
    that removed an argument and its new spelling. Also finds methods of a `Trainer` subclass that cannot take what the
    library passes them, such as `compute_loss` without `num_items_in_batch`. Silent where the callee hands
    its `**kwargs` on to places that cannot be told, unless an earlier release took the argument by name and announced
    that it would go.

    *Why it costs you*

    Python raises a TypeError at the call, on a machine that is paid for.

    *Example*

    ```python
    TrainingArguments("out", evaluation_strategy="epoch")  # transformers 5
    ```

    *Use instead*

    ```python
    TrainingArguments("out", eval_strategy="epoch")
    ```
    """

    code = "API002"
    name = "unknown-argument"
    severity = "error"
    area = "api"
    needs = frozenset()

    VALID = (
        Example(
            script='from transformers import TrainingArguments\nTrainingArguments("out", evaluation_strategy="no")\n',
            job={"dependencies": ["transformers==4.40.2"]},
            why="This release takes it.",
        ),
        Example(
            script="from trl import SFTConfig\noptions = load_options()\nSFTConfig(**options)\n",
            job={"dependencies": ["trl==1.16.0"]},
            why="What the options are cannot be told.",
        ),
        Example(
            script="import trl\nfrom packaging.version import Version\n"
            'if Version(trl.__version__) >= Version("0.16"):\n    args = trl.SFTConfig(max_length=512)\n'
            "else:\n    args = trl.SFTConfig(max_seq_length=512)\n",
            job={"dependencies": ["trl==1.16.0"]},
            why="The other branch never runs in this release.",
        ),
        Example(
            script="from dataclasses import dataclass\nfrom transformers import TrainingArguments\n"
            "@dataclass\nclass Arguments(TrainingArguments):\n    data_seed_offset: int = 0\n"
            'Arguments("out", data_seed_offset=3)\n',
            job={"dependencies": ["transformers==5.23.0"]},
            why="The script's own class adds the field.",
        ),
        Example(
            script="from transformers import Trainer\nclass Mine(Trainer):\n"
            "    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):\n"
            "        return model(**inputs).loss\n",
            job={"dependencies": ["transformers==5.23.0"]},
        ),
    )
    INVALID = (
        Example(
            script=('from transformers import TrainingArguments\nargs = TrainingArguments("out", no_cuda=True)\n'),
            job={"dependencies": ["transformers==5.23.0"]},
            findings=(
                (
                    2,
                    (
                        "TrainingArguments() does not take no_cuda in transformers 5.23.0; it is gone since "
                        "transformers 5.0.0 (last in 4.57.6); write use_cpu="
                    ),
                ),
            ),
        ),
        Example(
            script=(
                "from transformers import TrainingArguments\n"
                "from trl import SFTTrainer\n"
                'args = TrainingArguments("out", no_cuda=True)\n'
            ),
            job={"dependencies": ["trl==0.9.6"]},
            findings=(
                (
                    3,
                    (
                        "TrainingArguments() does not take no_cuda in transformers 5.23.0 (the newest that trl "
                        "0.9.6 admits, with transformers>=4.31.0); it is gone since transformers 5.0.0 (last in "
                        "4.57.6); write use_cpu=; or pin transformers<5.0.0"
                    ),
                ),
            ),
            why="What trl 0.9.6 asks for admits a release that does not take it.",
        ),
        Example(
            script=(
                "from trl import SFTConfig\n"
                'options = {"max_seq_length": 2048, "packing": True}\n'
                'args = SFTConfig(output_dir="out", **options)\n'
            ),
            job={"dependencies": ["trl==1.16.0"]},
            findings=(
                (
                    2,
                    (
                        "SFTConfig() does not take max_seq_length in trl 1.16.0; it is gone since trl 0.20.0 "
                        "(last in 0.19.1); write max_length="
                    ),
                ),
            ),
            why="The option stands in a dict.",
        ),
        Example(
            script=(
                "from transformers import Trainer\n"
                "trainer = Trainer(model=model, args=args, train_dataset=data)\n"
                'trainer.train(model_path="out/checkpoint-500")\n'
            ),
            job={"dependencies": ["transformers==5.23.0"]},
            findings=(
                (
                    3,
                    (
                        "Trainer.train() does not take model_path in transformers 5.23.0; it is gone since "
                        "transformers 5.0.0 (last in 4.57.6); write resume_from_checkpoint="
                    ),
                ),
            ),
            why="A method of an object whose class is known.",
        ),
        Example(
            script=(
                "from transformers import AutoModelForCausalLM\n"
                'model = AutoModelForCausalLM.from_pretrained("gpt2", load_in_4bit=True)\n'
            ),
            job={"dependencies": ["transformers==5.23.0"]},
            findings=(
                (
                    2,
                    (
                        "AutoModelForCausalLM.from_pretrained() does not take load_in_4bit in transformers "
                        "5.23.0; it is gone since transformers 5.0.0 (last in 4.57.6); write "
                        "quantization_config=BitsAndBytesConfig(load_in_4bit=True)"
                    ),
                ),
            ),
            why="It takes any keyword; older releases announced that this one would go.",
        ),
        Example(
            script=(
                "from transformers import Trainer\n"
                "class Weighted(Trainer):\n"
                "    def compute_loss(self, model, inputs, return_outputs=False):\n"
                "        return model(**inputs).loss\n"
                "Weighted(model=model, train_dataset=data).train()\n"
            ),
            job={"dependencies": ["transformers==5.23.0"]},
            findings=(
                (
                    3,
                    (
                        "Weighted.compute_loss() does not take num_items_in_batch, which Trainer passes to it "
                        "since transformers 4.46.0, and the job has transformers 5.23.0; add "
                        "num_items_in_batch=None or **kwargs to its parameters"
                    ),
                ),
            ),
            why="An override.",
        ),
        Example(
            job={
                "image": "python:3.12",
                "command": (
                    "pip install trl==1.16.0 && trl sft --model_name_or_path gpt2 --dataset_name "
                    "stanfordnlp/imdb --max_seq_length 2048"
                ),
            },
            findings=(
                (
                    None,
                    (
                        "trl sft does not take --max_seq_length in trl 1.16.0; it is gone since trl 0.20.0 (last "
                        "in 0.19.1); write --max_length"
                    ),
                ),
            ),
            why="The option stands in the command.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        if subject.api is None:
            return
        for line in api_lines(subject):
            yield from self._line(subject.api, line)
        calls = api_calls(subject)
        if calls is None:
            return
        seen: set[tuple[Location, str]] = set()
        for bound in calls.calls:
            for given in calls.given(bound):
                if place(given) in seen or not is_refused(calls, bound, given):
                    continue
                if calls.guarded(given.keyword or bound.call.node, "call"):
                    continue
                seen.add(place(given))
                yield self._refused(subject.api, calls, bound, given)
            yield from self._too_many(subject.api, calls, bound)
        for found in lacking(calls):
            if not calls.guarded(found.override.node, "call"):
                yield self._override(subject.api, calls, found)

    # -- keywords --------------------------------------------------------------------

    def _refused(self, api: ApiFacts, calls: ApiCalls, bound: BoundCall, given: Given) -> Finding:
        target = bound.targets[0]
        past = past_of(calls.signatures, target, given.name)
        new = successor(calls.signatures, target, given.name, past) if past.added is None else None
        similar = target.signature.similar(given.name) if not past and new is None else None
        kept = pin(api, past)
        instead = f"write {new.text}" if new is not None else (f"did you mean {similar}?" if similar else "")
        message = joined(
            f"{target.name}() does not take {given.name} in {release(api, _library(target, past))}",
            history(past),
            instead,
            (f"or pin {kept}" if instead else f"pin {kept}") if kept else "",
        )
        return self.finding(
            message,
            where=given.where,
            fix=_fix(bound, given, new, similar, kept),
            evidence={
                "callable": target.path,
                "argument": given.name,
                "library": past.package,
                "version": past.version,
                "last": past.last,
                "gone": past.gone,
                "added": past.added,
                "new": new.new if new is not None else None,
            },
        )

    # -- options of command lines ------------------------------------------------------

    def _line(self, api: ApiFacts, line: OptionLine) -> Iterator[Finding]:
        for option in line.options:
            if option.name in _ANYWHERE or line.takes(option) or line.is_of_launcher(option.name):
                continue
            known = line_past(api.signatures, line, option.name)
            target, past = known or (line.targets[0], Past("", "")) if line.targets else (None, Past("", ""))
            if target is None:
                continue
            new = successor(api.signatures, target, option.name, past) if past.last is not None else None
            similar = None if past else next(iter(t.signature.similar(option.name) for t in line.targets), None)
            if not past and similar is None and not line.is_strict:
                continue  # an option of the launcher
            yield self._unknown_option(api, line, option, target, past, new, similar)

    def _unknown_option(
        self,
        api: ApiFacts,
        line: OptionLine,
        option: LineOption,
        target: Target,
        past: Past,
        new: Successor | None,
        similar: str | None,
    ) -> Finding:
        kept = pin(api, past) if past else ""
        dash = "" if option.is_key else "--"
        write = "" if new is None else f"{dash}{new.new}" if new.new else new.text
        instead = f"write {write}" if write else (f"did you mean {dash}{similar}?" if similar else "")
        message = joined(
            f"{line.command} does not take {option.written} in {release(api, _library(target, past))}",
            history(past) if past else "",
            instead,
            (f"or pin {kept}" if instead else f"pin {kept}") if kept else "",
        )
        return self.finding(
            message,
            where=line.where,
            fix=write or (f"{dash}{similar}" if similar else f"pin {kept}" if kept else None),
            evidence={
                "callable": target.path,
                "argument": option.name,
                "library": past.package or target.path.partition(".")[0],
                "last": past.last,
                "gone": past.gone,
                "added": past.added,
            },
        )

    # -- positions -------------------------------------------------------------------

    def _too_many(self, api: ApiFacts, calls: ApiCalls, bound: BoundCall) -> Iterator[Finding]:
        count = bound.call.positional_count - bound.skipped
        if any(t.signature.takes_any_position or t.own_fields for t in bound.targets):
            return
        most = max(len(t.signature.positional) for t in bound.targets)
        if count <= most or calls.guarded(bound.call.node, "call"):
            return
        target = bound.targets[0]
        library = target.signature.path.partition(".")[0] or target.path.partition(".")[0]
        yield self.finding(
            f"{target.name}() takes at most {most} arguments by position in {release(api, library)}, and is given "
            f"{count}; name them",
            where=bound.call.location,
            fix="name the arguments",
            evidence={"callable": target.path, "positions": most, "given": count},
        )

    # -- overrides -------------------------------------------------------------------

    def _override(self, api: ApiFacts, calls: ApiCalls, found: Lacking) -> Finding:
        override, passed = found.override, found.passed
        past = Past("transformers", calls.interfaces.versions["transformers"])
        return self.finding(
            f"{override.owner}.{override.name}() does not take {passed.argument}, which Trainer passes to it since "
            f"transformers {passed.since}, and the job has {release(api, 'transformers')}; add "
            f"{passed.argument}=None or **kwargs to its parameters",
            where=calls.location(override.node),
            fix=f"{passed.argument}=None",
            evidence={
                "callable": f"{override.base}.{override.name}",
                "argument": passed.argument,
                "library": past.package,
                "version": past.version,
                "since": passed.since,
            },
        )


def _library(target: Target, past: Past) -> str:
    """The library whose version decides: that of the history, else the one that defines the callable."""
    return past.package if past else target.path.partition(".")[0]


def _fix(bound: BoundCall, given: Given, new: Successor | None, similar: str | None, kept: str) -> Fix | None:
    if new is not None and new.new:
        if new.new in bound.call.keywords:
            return Fix(new.text)
        return rename(given, new.new, same=new.same)
    if new is not None:
        return Fix(new.text)
    if similar is not None:
        return rename(given, similar, same=False) if similar not in bound.call.keywords else Fix(f"{similar}=")
    return Fix(f"pin {kept}") if kept else None
