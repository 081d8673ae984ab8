"""API005: a value that an option does not accept."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches

from trainguard.facts.api import ApiFacts
from trainguard.facts.api_calls import ApiCalls, BoundCall, Given
from trainguard.facts.api_calls_binding import Target
from trainguard.facts.api_calls_lines import OptionLine
from trainguard.facts.values import Constant, Value, options
from trainguard.findings import Edit, Finding, Fix, Location
from trainguard.libraries.api.query import Past
from trainguard.libraries.api.records import Literals, Parameter
from trainguard.libraries.api.signatures import Signatures
from trainguard.rules.api._arguments import defining_library, place
from trainguard.rules.api._choice_checks import checked, is_certain, place_of_text
from trainguard.rules.api._reading import api_calls, api_lines
from trainguard.rules.api._wording import history, joined, pin, release
from trainguard.rules.base import Example, Rule, Subject

_MOST_SHOWN = 8


class UnknownChoice(Rule):
    """A literal that an option of a library does not accept.

    *What it does*

    Compares strings with the values that an option accepts in the version that the job's dependencies resolve to, as
    the library's own enumerations, `Literal` annotations and checks say them. Says what is spelled almost so.

    *Why it costs you*

    The library raises a ValueError when the configuration is made, on a machine that is paid for.

    *Example*

    ```python
    TrainingArguments("out", lr_scheduler_type="cosin")
    ```

    *Use instead*

    ```python
    TrainingArguments("out", lr_scheduler_type="cosine")
    ```
    """

    code = "API005"
    name = "unknown-choice"
    severity = "error"
    area = "api"
    needs = frozenset()

    VALID = (
        Example(
            script='from transformers import TrainingArguments\nTrainingArguments("out", eval_strategy="steps")\n',
            job={"dependencies": ["transformers==5.23.0"]},
        ),
        Example(
            script="from transformers import TrainingArguments\nfrom transformers.trainer_utils import SchedulerType\n"
            'TrainingArguments("out", lr_scheduler_type=SchedulerType.COSINE)\n',
            job={"dependencies": ["transformers==5.23.0"]},
            why="A member of the enumeration.",
        ),
    )
    INVALID = (
        Example(
            script=(
                "from transformers import TrainingArguments\n"
                'args = TrainingArguments("out", lr_scheduler_type="cosin")\n'
            ),
            job={"dependencies": ["transformers==5.23.0"]},
            findings=(
                (
                    2,
                    (
                        "lr_scheduler_type of TrainingArguments() does not accept 'cosin' in transformers 5.23.0; "
                        "did you mean 'cosine'?"
                    ),
                ),
            ),
        ),
        Example(
            script=('from trl import SFTConfig\nargs = SFTConfig(output_dir="out", eval_strategy="step")\n'),
            job={"dependencies": ["trl==1.16.0"]},
            findings=(
                (
                    2,
                    (
                        "eval_strategy of SFTConfig() does not accept 'step' in transformers 5.23.0 (the newest "
                        "that trl 1.16.0 admits, with transformers>=4.56.2); did you mean 'steps'?"
                    ),
                ),
            ),
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
            for given, parameter in _judged(calls, bound):
                if parameter.choices is None and place(given) not in seen:
                    found = self._checked_elsewhere(subject.api, calls, bound, given)
                    if found is not None:
                        seen.add(place(given))
                        yield found
                if parameter.choices is None or _takes_several(parameter) or place(given) in seen:
                    continue
                value = _refused(given.value, parameter.choices)
                if value is None or not _is_enforced(bound.targets[0], parameter, value):
                    continue
                if calls.guarded(given.keyword or bound.call.node, "value"):
                    continue
                seen.add(place(given))
                yield self._given(subject.api, calls, bound, given, parameter)

    def _line(self, api: ApiFacts, line: OptionLine) -> Iterator[Finding]:
        """What a command line gives an option that its dataclass does not accept."""
        for option in line.options:
            target = line.target(option.name) if option.name not in line.own else None
            parameter = target.signature.parameter(option.name) if target is not None else None
            if target is None or parameter is None or parameter.choices is None or _takes_several(parameter):
                continue
            value = _refused(option.value, parameter.choices)
            if value is not None and not _may_be_another(value, parameter.choices):
                yield self._unknown(
                    api, f"{option.written} of {line.command}", target, parameter, value, line.where, None
                )

    def _given(self, api: ApiFacts, calls: ApiCalls, bound: BoundCall, given: Given, parameter: Parameter) -> Finding:
        target = bound.targets[0]
        value = _refused(given.value, parameter.choices or ()) or ""
        node = given.keyword.value if given.keyword is not None else None
        literal = calls.location(node) if isinstance(node, ast.Constant) and node.value == value else None
        return self._unknown(api, f"{given.name} of {target.name}()", target, parameter, value, given.where, literal)

    def _checked_elsewhere(self, api: ApiFacts, calls: ApiCalls, bound: BoundCall, given: Given) -> Finding | None:
        """What an option is given that the library refuses later than the declaration could tell."""
        target, script = bound.targets[0], calls.script
        known = checked(api.signatures, target.path, given.name)
        value = known.refused(given.value) if known is not None else None
        parameter = target.signature.parameter(given.name)
        if known is None or value is None or parameter is None or not is_certain(script, bound, given, known.known):
            return None
        if calls.guarded(given.keyword or bound.call.node, "value"):
            return None
        node = place_of_text(given.keyword.value if given.keyword is not None else None, value)
        literal = calls.location(node) if node is not None else None
        parameter = replace(parameter, choices=known.choices)
        return self._unknown(api, f"{given.name} of {target.name}()", target, parameter, value, given.where, literal)

    def _unknown(
        self,
        api: ApiFacts,
        what: str,
        target: Target,
        parameter: Parameter,
        value: str,
        where: Location | None,
        literal: Location | None,
    ) -> Finding:
        known = [choice for choice in parameter.choices or () if isinstance(choice, str)]
        folded = {choice.lower(): choice for choice in known}
        similar = folded.get(value.lower()) or next(iter(get_close_matches(value, known, 1, 0.6)), None)
        library = defining_library(api.signatures, target, parameter.name)
        past = _past(api.signatures, target.path, parameter.name, value, library)
        kept = pin(api, past)
        shown = ", ".join(repr(choice) for choice in known[:_MOST_SHOWN]) + (", …" if len(known) > _MOST_SHOWN else "")
        message = joined(
            f"{what} does not accept {value!r} in {release(api, past.package)}",
            history(past),
            f"did you mean {similar!r}?" if similar is not None else f"it accepts {shown}",
            f"or pin {kept}" if kept else "",
        )
        edits = (Edit("replace-literal", literal, value, similar),) if literal is not None and similar else ()
        return self.finding(
            message,
            where=where,
            fix=Fix(repr(similar), edits=edits) if similar is not None else None,
            evidence={
                "callable": target.path,
                "argument": parameter.name,
                "value": value,
                "choices": known,
                "library": past.package,
                "version": past.version,
            },
        )


def _judged(calls: ApiCalls, bound: BoundCall) -> Iterable[tuple[Given, Parameter]]:
    if len(bound.targets) > 1:
        return
    target = bound.targets[0]
    for given in calls.given(bound):
        parameter = target.signature.parameter(given.name)
        if parameter is not None and given.name not in target.own_fields:
            yield given, parameter
    positional = target.signature.positional
    for position in range(bound.skipped, bound.call.positional_count):
        if position - bound.skipped < len(positional):
            parameter = positional[position - bound.skipped]
            where = bound.call.argument_location(parameter.name, position)
            yield Given(parameter.name, bound.call.positional(position), where), parameter


def _takes_several(parameter: Parameter) -> bool:
    """Whether the option also takes a list, which it may split a string into."""
    return "list" in (parameter.annotation or "").lower()


def _is_enforced(target: Target, parameter: Parameter, value: str) -> bool:
    """Whether a value that is not among the choices is refused.

    `Literal` is only a note on a plain function: there, only what is almost one of them is a mistake for sure.
    """
    if "Literal" not in (parameter.annotation or "") or target.name[:1].isupper():
        return True
    return bool(get_close_matches(value, [c for c in parameter.choices or () if isinstance(c, str)], 1, 0.75))


def _refused(value: Value, choices: Literals) -> str | None:
    """The string that is certainly given and not accepted; None if there is none.

    Upper and lower case count, as they do for the libraries' enumerations.
    """
    first = None
    for option in options(value):
        if not isinstance(option, Constant) or not isinstance(option.value, str) or option.value in choices:
            return None
        first = first if first is not None else option.value
    return first


def _may_be_another(value: str, choices: Literals) -> bool:
    """Whether a word of a command line may be read as a number or a flag, which the option accepts."""
    return any(str(choice).lower() == value.lower() for choice in choices if not isinstance(choice, str))


def _past(signatures: Signatures, path: str, argument: str, value: str, library: str) -> Past:
    """In which other releases of the library that defines an option it accepts a value."""
    interfaces = signatures.interfaces

    def has(version: str) -> bool:
        there = Signatures(interfaces.at(library, version))
        signature = there.of(path)
        parameter = signature.parameter(argument) if signature is not None else None
        if parameter is not None and parameter.choices is not None:
            return value in parameter.choices
        known = checked(there, path, argument) if parameter is not None else None
        return known is not None and value in known.choices

    return interfaces.timeline(library, has)
