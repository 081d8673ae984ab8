"""API003: an argument that works in the job's version and has been announced as going away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from trainguard.facts.api import ApiFacts
from trainguard.facts.api_calls import ApiCalls, BoundCall, Given
from trainguard.facts.api_calls_binding import Target
from trainguard.facts.values import Constant, is_none, options
from trainguard.findings import Finding, Fix, Location
from trainguard.libraries.api.records import Deprecation
from trainguard.libraries.argument_notices import notices_of
from trainguard.rules.api._arguments import config_of, defining_library, place, refused_later, rename, stands_for
from trainguard.rules.api._reading import api_calls
from trainguard.rules.api._wording import distribution, joined, release
from trainguard.rules.base import Example, Rule, Subject


class DeprecatedArgument(Rule):
    """An argument that the script gives, that still works, and that its library has announced as going away.

    *What it does*

    Looks for arguments that the installed release itself marks as deprecated, and that the script writes; never for a
    default that a library sets. A warning where the notice names a release, or where a later release that is known
    does not take the argument any more; information where nothing has been scheduled.

    *Why it costs you*

    The next job with newer releases fails at this call.

    *Example*

    ```python
    TrainingArguments("out", evaluation_strategy="epoch")  # transformers 4.46
    ```

    *Use instead*

    ```python
    TrainingArguments("out", eval_strategy="epoch")
    ```
    """

    code = "API003"
    name = "deprecated-argument"
    severity = "warn"
    area = "api"

    VALID = (
        Example(
            script='from transformers import TrainingArguments\nTrainingArguments("out", eval_strategy="epoch")\n',
            job={"dependencies": ["transformers==4.46.3"]},
        ),
        Example(
            script='from transformers import TrainingArguments\nTrainingArguments("out", evaluation_strategy="no")\n',
            job={"dependencies": ["transformers==4.38.2"]},
            why="In this release it is the name of the option.",
        ),
    )
    INVALID = (
        Example(
            script=('from transformers import TrainingArguments\nargs = TrainingArguments("out", no_cuda=True)\n'),
            job={"dependencies": ["transformers==4.57.6"]},
            findings=(
                (
                    2,
                    (
                        "no_cuda of TrainingArguments() is deprecated in transformers 4.57.6; transformers 5.0.0 "
                        "takes it no longer; write use_cpu="
                    ),
                ),
            ),
        ),
        Example(
            script=(
                'from trl import SFTTrainer\ntrainer = SFTTrainer("gpt2", train_dataset=data, tokenizer=tokenizer)\n'
            ),
            job={"dependencies": ["trl==0.12.2"]},
            findings=(
                (
                    2,
                    (
                        "tokenizer of SFTTrainer() is deprecated in trl 0.12.2; trl 0.16.0 takes it no longer; "
                        "write processing_class="
                    ),
                ),
            ),
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        calls = api_calls(subject)
        if calls is None or subject.api is None:
            return
        seen: set[tuple[Location, str]] = set()
        for bound in calls.calls:
            target = bound.targets[0]
            shown = calls.signatures.of(stands_for(target))
            notices = [*target.signature.deprecations, *(shown.deprecations if shown is not None else ())]
            notices += notices_of(target.path, calls.interfaces.version("transformers"))
            if len(bound.targets) > 1 or not notices:
                continue
            for given in calls.given(bound):
                notice = next((n for n in notices if n.name == given.name and n.accepted), None)
                if notice is None or given.name in target.own_fields or place(given) in seen:
                    continue
                if _says_nothing(calls, target, given) or calls.guarded(given.keyword or bound.call.node, "call"):
                    continue
                seen.add(place(given))
                yield from self._announced(subject.api, calls, bound, given, notice)

    def _announced(
        self, api: ApiFacts, calls: ApiCalls, bound: BoundCall, given: Given, notice: Deprecation
    ) -> Iterator[Finding]:
        target = bound.targets[0]
        gone = refused_later(calls.signatures, target.path, given.name)
        defines = defining_library(calls.signatures, target, given.name)
        when = ""
        if gone is not None:
            when = f"{distribution(defines)} {gone} takes it no longer"
        elif notice.removal:
            when = f"it is announced to go in {distribution(defines)} {notice.removal}"
        spelling = f"{notice.new}=" if notice.new.isidentifier() else notice.new if "=" in notice.new else ""
        instead = f"write {spelling}" if spelling else ""
        option = config_of(calls.signatures, target, given.name) if not instead else None
        message = joined(
            f"{given.name} of {target.name}() is deprecated in {release(api, defines)}",
            when,
            instead or (f"write {option}" if option is not None else ""),
        )
        fix = None
        if notice.new.isidentifier() and notice.new not in bound.call.keywords:
            fix = rename(given, notice.new, same=notice.same)
        elif instead:
            fix = Fix(spelling)
        elif option is not None:
            fix = Fix(option)
        finding = self.finding(
            message,
            where=given.where,
            fix=fix,
            evidence={
                "callable": target.path,
                "argument": given.name,
                "library": defines,
                "version": calls.interfaces.version(defines),
                "removal": notice.removal,
                "gone": gone,
                "new": notice.new,
            },
        )
        yield finding if when else replace(finding, severity="info")


def _says_nothing(calls: ApiCalls, target: Target, given: Given) -> bool:
    """Whether an argument is as good as not given: None, or the default, of which the release gives no notice.

    A default that is written out fails too in a later release that does not take the argument.
    """
    if all(is_none(option) for option in options(given.value)):
        return True
    parameter = target.signature.parameter(given.name)
    if parameter is None or parameter.default is None or not isinstance(given.value, Constant):
        return False
    if repr(given.value.value) != parameter.default.replace('"', "'"):
        return False
    return target.signature.is_open or refused_later(calls.signatures, target.path, given.name) is None
