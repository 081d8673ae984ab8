"""API001: a name that the library does not have in the version that the job installs."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from trainguard.facts.api import ApiFacts
from trainguard.facts.api_calls import ApiCalls, NameUse
from trainguard.findings import Edit, Finding, Fix
from trainguard.libraries.api.query import Found, Missing, Past
from trainguard.libraries.api.records import Class, Constant, Module
from trainguard.rules.api._reading import api_calls
from trainguard.rules.api._replacements import ARGUMENTS, NAMES
from trainguard.rules.api._wording import history, joined, pin, release
from trainguard.rules.base import Example, Rule, Subject

# A name that more modules than this define is a common word; which one is meant cannot be told.
_MAX_PLACES = 2
_MISSPELT = 0.9  # how like a name of a class another has to be to be meant for it


class UnknownName(Rule):
    """An import or attribute that the library does not have in the version that the job installs.

    *What it does*

    Looks up what the script imports from the training libraries, the attributes that it reads of their modules and
    classes, and the methods that it calls on their objects, in the version that the job's dependencies resolve to.
    Says which release removed a name or brings it, where it has moved, and what is spelled almost so. Silent where
    the script has taken care (`try`/`except ImportError`, `hasattr`, a comparison of versions).

    *Why it costs you*

    The import fails on the machine that was just provisioned, often after minutes of installing.

    *Example*

    ```python
    from transformers import AdamW  # transformers 5
    ```

    *Use instead*

    ```python
    from torch.optim import AdamW
    ```
    """

    code = "API001"
    name = "unknown-name"
    severity = "error"
    area = "api"

    VALID = (
        Example(
            script="from transformers import AdamW\n",
            job={"dependencies": ["transformers==4.46.3"]},
            why="This release has it.",
        ),
        Example(
            script="try:\n    from transformers import AdamW\nexcept ImportError:\n    from torch.optim import AdamW\n",
            job={"dependencies": ["transformers==5.0.0"]},
            why="The script has taken care.",
        ),
        Example(
            script="import transformers\nfrom packaging import version\n"
            'if version.parse(transformers.__version__) < version.parse("4.50"):\n'
            "    from transformers import AdamW\n",
            job={"dependencies": ["transformers==5.0.0"]},
            why="The import never runs in this release.",
        ),
        Example(
            script="from transformers import AdamW\n",
            job={"dependencies": ["transformers @ git+https://github.com/huggingface/transformers"]},
            why="Which release this is cannot be told.",
        ),
    )
    INVALID = (
        Example(
            script=("from trl import DataCollatorForCompletionOnlyLM, SFTTrainer\n"),
            job={"dependencies": ["trl==1.16.0"]},
            findings=(
                (
                    1,
                    (
                        "trl 1.16.0 has no DataCollatorForCompletionOnlyLM; it is gone since trl 0.20.0 (last in "
                        "0.19.1); use SFTConfig(completion_only_loss=True) with a prompt and a completion column, "
                        "or assistant_only_loss=True"
                    ),
                ),
            ),
        ),
        Example(
            script=("import trl\nmodel, tokenizer = trl.setup_chat_format(model, tokenizer)\n"),
            job={"dependencies": ["trl==1.16.0"]},
            findings=(
                (
                    2,
                    (
                        "trl 1.16.0 has no setup_chat_format; it is gone since trl 0.26.0 (last in 0.25.1); use "
                        "clone_chat_template"
                    ),
                ),
            ),
            why="An attribute of the module.",
        ),
        Example(
            script=("from trl import PPOConfig, PPOTrainer\n"),
            job={"dependencies": ["trl==0.29.0"]},
            findings=(
                (
                    1,
                    (
                        "trl 0.29.0 has no PPOConfig; it is gone since trl 0.29.0 (last in 0.28.0); it is "
                        "trl.experimental.ppo.PPOConfig there"
                    ),
                ),
                (
                    1,
                    (
                        "trl 0.29.0 has no PPOTrainer; it is gone since trl 0.29.0 (last in 0.28.0); it is "
                        "trl.experimental.ppo.PPOTrainer there"
                    ),
                ),
            ),
            why="Both have moved.",
        ),
        Example(
            script=("from transformers import AutoModelForCasualLM\n"),
            job={"dependencies": ["transformers==5.23.0"]},
            findings=((1, "transformers 5.23.0 has no AutoModelForCasualLM; did you mean AutoModelForCausalLM?"),),
            why="Misspelt.",
        ),
    )

    def check(self, subject: Subject) -> Iterable[Finding]:
        calls = api_calls(subject)
        if calls is None or subject.api is None:
            return
        seen: set[tuple[str, int | None]] = set()
        for use in calls.names:
            missing = calls.interfaces.find(use.path)
            if not isinstance(missing, Missing) or not _is_meant(calls, use, missing):
                continue
            key = (f"{missing.owner}.{missing.name}", use.where.line)
            if key in seen or calls.guarded(use.node, use.kind):
                continue
            seen.add(key)
            yield from self._judged(subject.api, calls, use, missing)

    def _judged(self, api: ApiFacts, calls: ApiCalls, use: NameUse, missing: Missing) -> Iterator[Finding]:
        past = calls.interfaces.past(missing)
        kept = pin(api, past)
        advice = _advice(calls, use, missing, past)
        if advice is None:
            if _is_of_class(calls, missing) and not past:
                return  # set at run time, by what is not known here
            advice = _Advice("", Fix(f"pin {kept}") if kept else None)
        shown = f"{missing.owner}.{missing.name}"
        is_module = use.path.startswith(f"{shown}.")
        where = "" if missing.owner == missing.package or is_module else f" in {missing.owner}"
        what = f"{release(api, missing.package)} has no {f'module {shown}' if is_module else missing.name}{where}"
        if _is_of_class(calls, missing):
            what = f"{missing.owner.rpartition('.')[2]} has no {missing.name} in {release(api, missing.package)}"
        yield self.finding(
            joined(
                what,
                history(past),
                advice.text,
                (f"or pin {kept}" if advice.text else f"pin {kept}") if kept else "",
            ),
            where=use.where,
            fix=advice.fix,
            evidence={
                "name": shown,
                "library": missing.package,
                "version": calls.interfaces.version(missing.package),
                "last": past.last,
                "gone": past.gone,
                "added": past.added,
            },
        )


@dataclass(frozen=True, slots=True)
class _Advice:
    """What to write instead, for people and for a program."""

    text: str
    fix: Fix | None


def _advice(calls: ApiCalls, use: NameUse, missing: Missing, past: Past) -> _Advice | None:
    """What the name has become, or what may be meant; None where nothing is known."""
    interfaces = calls.interfaces
    if _is_of_class(calls, missing):
        return _member_advice(calls, use, missing, past)
    hint = NAMES.get(f"{missing.package}.{missing.name}")
    if hint is not None and hint.new and not isinstance(interfaces.find(hint.new), Found):
        hint = None
    if hint is None:
        name = use.path.rpartition(".")[2]
        sought = Missing(missing.owner, name)
        places = interfaces.index.places(missing.package, interfaces.versions[missing.package], name)
        moved = interfaces.moved(sought) if len(places) <= _MAX_PLACES else None
        if moved is not None:
            edits: tuple[Edit, ...] = ()
            if isinstance(use.node, ast.ImportFrom) and len(places) == 1:
                edits = (Edit("rename-import", use.where, use.path, moved),)
            fix = Fix(f"from {moved.rpartition('.')[0]} import {name}", edits=edits, safe=bool(edits))
            return _Advice(f"it is {moved} there", fix)
    if hint is not None:
        return _Advice(f"use {hint.text}", Fix(hint.text))
    similar = interfaces.similar(missing) if not past else None
    return _Advice(f"did you mean {similar}?", Fix(similar)) if similar is not None else None


def _member_advice(calls: ApiCalls, use: NameUse, missing: Missing, past: Past) -> _Advice | None:
    """What an attribute or method of a class has become."""
    new, same = None, False
    if past.last is not None:
        notice = calls.signatures.successor(missing.owner, missing.name, past)
        if notice is not None and isinstance(calls.interfaces.member(missing.owner, notice.new), Found):
            new, same = notice.new, notice.same
        elif (hint := ARGUMENTS.get(missing.name)) is not None:
            is_there = isinstance(calls.interfaces.member(missing.owner, hint.new), Found)
            new, same = (hint.new, hint.same) if is_there else (None, False)
        if new is not None:
            edit = Edit("rename-attribute", use.where, missing.name, new)
            return _Advice(f"write {new}", Fix(new, edits=(edit,), safe=same))
    similar = calls.interfaces.similar(missing) if not past else None
    # A class takes in members in ways that are not all read: only what is clearly misspelt is told.
    if similar is None or SequenceMatcher(None, missing.name, similar).ratio() < _MISSPELT:
        return None
    return _Advice(f"did you mean {similar}?", Fix(similar))


def _is_of_class(calls: ApiCalls, missing: Missing) -> bool:
    owner = calls.interfaces.find(missing.owner)
    return isinstance(owner, Found) and isinstance(owner.definition, Class)


def _is_meant(calls: ApiCalls, use: NameUse, missing: Missing) -> bool:
    """Whether this use is the first that meets the missing name, not one of what was imported under it."""
    if use.kind == "import":
        # `from datasets.hub import x` reads the module of that name, whatever else the package binds to it.
        module = use.path.rpartition(".")[0]
        version = calls.interfaces.versions[missing.package]
        is_module = isinstance(calls.interfaces.index.definition(missing.package, version, module), Module)
        return missing.owner == module or not is_module
    if f"{missing.owner}.{missing.name}" != use.path and use.path.rpartition(".")[2] != missing.name:
        return False
    return isinstance(calls.interfaces.find(use.path.rpartition(".")[0]), Found) and not _is_value(calls, use)


def _is_value(calls: ApiCalls, use: NameUse) -> bool:
    """Whether the attribute is read of a plain value, of which nothing is recorded."""
    owner = calls.interfaces.find(use.path.rpartition(".")[0])
    return isinstance(owner, Found) and isinstance(owner.definition, Constant)
