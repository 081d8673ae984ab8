"""What several API rules ask of one argument: since when it is gone, what to write instead, how to change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from trainguard.facts.api_calls import Given
from trainguard.facts.api_calls_binding import MODEL_FROM_PRETRAINED, Target
from trainguard.facts.api_calls_lines import OptionLine
from trainguard.findings import Edit, Fix, Location
from trainguard.libraries.api.query import Found, Past
from trainguard.libraries.api.records import Class, Deprecation, Function
from trainguard.libraries.api.signatures import Signature, Signatures
from trainguard.rules.api._replacements import ARGUMENTS

# Classes that hand the work to others: what these take by name is what can be given.
# transformers 5.23.0, models/auto/auto_factory.py, tokenization_auto.py, configuration_auto.py.
_STANDS_FOR: Mapping[str, str] = {
    "AutoModel": "transformers.PreTrainedModel",
    "AutoTokenizer": "transformers.PreTrainedTokenizerBase",
    "AutoConfig": "transformers.PretrainedConfig",
}


@dataclass(frozen=True, slots=True)
class Successor:
    """What to write instead of an argument: `text` for people, `new` the keyword where it is one. `same`: a rename."""

    text: str
    new: str = ""
    same: bool = False


def stands_for(target: Target) -> str:
    """The callable that takes the keywords of a class method of an `Auto…` class; else the target's own path."""
    path = target.path
    if target.signature.path == MODEL_FROM_PRETRAINED:
        return target.signature.path
    owner, _, method = path.rpartition(".")
    name = owner.rpartition(".")[2]
    for prefix, base in _STANDS_FOR.items():
        if name.startswith(prefix) and method in ("from_pretrained", "from_config"):
            return f"{base}.{method}"
    return path


def past_of(signatures: Signatures, target: Target, argument: str) -> Past:
    """In which other releases a callable takes a keyword; of a method that is inherited, where it is defined."""
    path = stands_for(target) if target.signature.is_open else target.path
    past = signatures.past(path, argument)
    if past or target.signature.path in ("", path) or target.signature.path.startswith(path.partition(".")[0] + "."):
        return past
    return signatures.past(target.signature.path, argument) or past


def defining_library(signatures: Signatures, target: Target, name: str) -> str:
    """The library whose class or function defines an argument: of a configuration that of the field."""
    for found in signatures.interfaces.known_line(target.path)[0]:
        definition = found.definition
        if isinstance(definition, Class):
            fields = (field.name for field in definition.fields)
            notices = (notice.name for notice in definition.deprecations)
            if name in (*fields, *notices):
                return found.package
    return (target.signature.path or target.path).partition(".")[0]


def successor(signatures: Signatures, target: Target, argument: str, past: Past) -> Successor | None:
    """What the job's version wants in place of an argument that is gone; None where nothing is known."""
    signature = target.signature
    notice = signatures.successor(target.path, argument, past)
    if notice is not None and notice.new and _leads_somewhere(signature, notice.new, argument):
        return Successor(f"{notice.new}=", notice.new, notice.same)
    hint = ARGUMENTS.get(argument)
    if hint is not None and (not hint.new or signature.names(hint.new)):
        return Successor(hint.text, hint.new if hint.same else "", hint.same)
    config = config_of(signatures, target, argument)
    return Successor(config) if config is not None else None


def _leads_somewhere(signature: Signature, new: str, argument: str) -> bool:
    return new != argument and (signature.names(new) or (signature.is_open and new.isidentifier()))


def config_of(signatures: Signatures, target: Target, argument: str) -> str | None:
    """The option of a trainer's configuration class that an argument has become: `max_length= of SFTConfig`."""
    module, _, name = target.path.rpartition(".")
    if not name.endswith("Trainer"):
        return None
    config = f"{module}.{name.removesuffix('Trainer')}Config" if name != "Trainer" else f"{module}.TrainingArguments"
    taken = signatures.of(config)
    if taken is None or not isinstance(signatures.interfaces.find(config), Found):
        return None
    hint = ARGUMENTS.get(argument)
    for option in (argument, hint.new if hint is not None else ""):
        if option and taken.names(option):
            return f"{option}= of {config.rpartition('.')[2]}"
    return None


@lru_cache(maxsize=4096)
def was_taken(signatures: Signatures, path: str, argument: str) -> bool:
    """Whether an older release took a keyword by name, as far as a dozen of them tell.

    What is announced to go stays for many releases; and this is asked of every keyword of an open callee.
    """
    library = path.partition(".")[0]
    interfaces = signatures.interfaces
    found = interfaces.find(path)
    if isinstance(found, Found) and isinstance(found.definition, Function):
        named = interfaces.index.mentions(found.package, found.path, argument)
    else:
        named = True
    if not named:
        return False
    versions = interfaces.index.versions(library)
    here = versions.index(interfaces.versions[library])
    near = {here - 1, here - 2, here - 4}
    spread = {here * part // 8 for part in range(8)}
    for place in sorted({place for place in near | spread if 0 <= place < here}, reverse=True):
        old = Signatures(interfaces.at(library, versions[place])).of(path)
        if old is not None and old.names(argument):
            return True
    return False


def noticed(signatures: Signatures, path: str, argument: str, past: Past) -> Deprecation | None:
    """What the last release that took an argument said of its going away."""
    if past.last is None:
        return None
    old = Signatures(signatures.interfaces.at(past.package, past.last)).of(path)
    return old.notice(argument) if old is not None else None


def refused_later(signatures: Signatures, path: str, argument: str) -> str | None:
    """The first newer release that does not take an argument any more; None if all that are known do."""
    library = path.partition(".")[0]
    interfaces = signatures.interfaces
    for owner in (library, *({found.package for found in interfaces.known_line(path)[0]} - {library})):
        versions = interfaces.index.versions(owner)
        here = versions.index(interfaces.versions[owner])
        # The newest tells whether any does; only then is it worth looking for the first.
        if here == len(versions) - 1 or _takes(signatures, owner, versions[-1], path, argument):
            continue
        return next((v for v in versions[here + 1 :] if not _takes(signatures, owner, v, path, argument)), None)
    return None


def _takes(signatures: Signatures, library: str, version: str, path: str, argument: str) -> bool:
    signature = Signatures(signatures.interfaces.at(library, version)).of(path)
    return signature is None or signature.names(argument)


def line_past(signatures: Signatures, line: OptionLine, name: str) -> tuple[Target, Past] | None:
    """The dataclass of a command line that takes an option in another release, and in which; None if none does."""
    for target in line.targets:
        past = signatures.past(target.path, name)
        if past:
            return target, past
    return None


def rename(given: Given, new: str, *, same: bool) -> Fix:
    """The fix that writes another keyword; safe where it means the same."""
    return Fix(f"{new}=", edits=(Edit("rename-argument", given.where, given.name, new),), safe=same)


def place(given: Given) -> tuple[Location, str]:
    """What tells two findings about the same argument apart."""
    return given.where, given.name
