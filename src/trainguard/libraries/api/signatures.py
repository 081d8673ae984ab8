"""What a callable takes at the versions that a job installs: inheritance, dataclass fields, `**kwargs` resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from trainguard.libraries.api.query import Found, Interfaces, Past
from trainguard.libraries.api.records import (
    KEYWORD_ONLY,
    NOT_TAKEN,
    POSITIONAL_ONLY,
    POSITIONAL_OR_KEYWORD,
    VAR_KEYWORD,
    VAR_POSITIONAL,
    Class,
    Deprecation,
    Function,
    Parameter,
)

_MAX_DEPTH = 8  # callables that hand their keywords on to the next
_GENERATED = {"dataclass", "namedtuple"}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a callable takes, `self` and `cls` left out.

    `path` is where it is defined (of a constructor the class that was asked for). `forwarded` are the parameters that
    its `**kwargs` reach in other callables, `taken` keywords that it takes out of them by name. `is_open` tells that
    some keywords go to places that cannot be told, so that none can be called unknown.
    """

    path: str
    parameters: tuple[Parameter, ...]
    forwarded: Mapping[str, Parameter] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()
    is_open: bool = False
    deprecations: tuple[Deprecation, ...] = ()

    def parameter(self, name: str) -> Parameter | None:
        """The parameter that a keyword reaches, None if none is known."""
        own = next((p for p in self.parameters if p.name == name and _by_keyword(p)), None)
        return own or self.forwarded.get(name)

    def names(self, name: str) -> bool:
        """Whether it takes this keyword by name, itself or where its `**kwargs` go."""
        return self.parameter(name) is not None or name in self.taken or self.notice(name, accepted=True) is not None

    def accepts(self, name: str) -> bool:
        """Whether a call with this keyword may pass."""
        return self.is_open or self.names(name)

    def notice(self, name: str, accepted: bool | None = None) -> Deprecation | None:
        """What the release says of the going away of an argument."""
        return next((d for d in self.deprecations if d.name == name and accepted in (None, d.accepted)), None)

    @property
    def keywords(self) -> tuple[str, ...]:
        """All keywords that are known to be taken."""
        own = [parameter.name for parameter in self.parameters if _by_keyword(parameter)]
        return tuple(dict.fromkeys([*own, *self.forwarded, *sorted(self.taken)]))

    @property
    def positional(self) -> tuple[Parameter, ...]:
        """The parameters that a position reaches."""
        return tuple(p for p in self.parameters if p.kind in (POSITIONAL_ONLY, POSITIONAL_OR_KEYWORD))

    @property
    def required(self) -> tuple[Parameter, ...]:
        kinds = (POSITIONAL_ONLY, POSITIONAL_OR_KEYWORD, KEYWORD_ONLY)
        return tuple(p for p in self.parameters if p.kind in kinds and p.default is None)

    @property
    def takes_any_position(self) -> bool:
        return any(parameter.kind == VAR_POSITIONAL for parameter in self.parameters)

    def similar(self, name: str) -> str | None:
        """A keyword that is spelled almost so."""
        return next(iter(get_close_matches(name, self.keywords, 1, 0.8)), None)


def _by_keyword(parameter: Parameter) -> bool:
    return parameter.kind in (POSITIONAL_OR_KEYWORD, KEYWORD_ONLY)


class Signatures:
    """The signatures of callables at one set of versions."""

    def __init__(self, interfaces: Interfaces) -> None:
        self.interfaces = interfaces
        self._known: dict[str, Signature | None] = {}

    def of(self, path: str) -> Signature | None:
        """The signature of a function, method or constructor by its path; None where it cannot be told."""
        if path not in self._known:
            self._known[path] = self._of(path)
        return self._known[path]

    def _of(self, path: str) -> Signature | None:
        found = self.interfaces.find(path)
        if not isinstance(found, Found):
            return None
        if isinstance(found.definition, Class):
            return self._constructor(found)
        if not isinstance(found.definition, Function) or found.definition.dynamic:
            return None
        owner = self._owner(path)
        if owner is None:
            return self._function(found.path, found.definition, (), 0, 0)
        line, complete = self.interfaces.known_line(owner)
        place = next((n for n, ancestor in enumerate(line) if found.path.startswith(f"{ancestor.path}.")), 0)
        return self._function(found.path, found.definition, line if complete else line[: place + 1], place, 0)

    def _owner(self, path: str) -> str | None:
        """The class through which a method was reached."""
        through = path.rpartition(".")[0]
        at = self.interfaces.find(through)
        return through if isinstance(at, Found) and isinstance(at.definition, Class) else None

    # -- constructors ----------------------------------------------------------------

    def _constructor(self, found: Found) -> Signature | None:
        line, complete = self.interfaces.known_line(found.path)
        made = self._made(line, 0, 0)
        if made is None or (made.path == "" and not complete):
            return None
        return replace(made, path=found.path)

    def _made(self, line: tuple[Found, ...], start: int, depth: int) -> Signature | None:
        """What a constructor takes, looked up from `start` on."""
        for place in range(start, len(line)):
            owner = line[place].definition
            assert isinstance(owner, Class)
            if owner.kind in ("opaque", "enum", "typeddict"):
                return None
            for name, has in (("__init__", owner.has_init), ("__new__", owner.has_new)):
                if has:
                    return self._written(line, place, name, depth)
            if owner.kind in _GENERATED:
                return self._generated(line[place:])
        return Signature("", ())

    def _written(self, line: tuple[Found, ...], place: int, name: str, depth: int) -> Signature | None:
        path = f"{line[place].path}.{name}"
        version = self.interfaces.versions[line[place].package]
        function = self.interfaces.index.definition(line[place].package, version, path)
        if not isinstance(function, Function) or function.dynamic:
            return None
        made = self._function(path, function, line, place, depth)
        owner = line[place].definition
        if made is None or not isinstance(owner, Class):
            return made
        return replace(made, deprecations=(*made.deprecations, *self._notices(line)))

    def _notices(self, line: tuple[Found, ...]) -> list[Deprecation]:
        return [d for at in line if isinstance(at.definition, Class) for d in at.definition.deprecations]

    def _generated(self, line: tuple[Found, ...]) -> Signature:
        """The constructor that `dataclass` writes: fields of the bases first, each at the place where it first came."""
        fields: dict[str, Parameter] = {}
        for ancestor in reversed(line):
            known = ancestor.definition
            assert isinstance(known, Class)
            if known.kind in _GENERATED:
                fields.update((own.name, own) for own in known.fields)
        ordered = [f for f in fields.values() if f.kind not in (KEYWORD_ONLY, NOT_TAKEN)]
        ordered += [f for f in fields.values() if f.kind == KEYWORD_ONLY]
        finishing = self.interfaces.method(line, "__post_init__")
        # huggingface_hub's `strict(accept_kwargs=True)` hands to it what is no field.
        is_open = finishing is not None and any(p.kind == VAR_KEYWORD for p in finishing[1].parameters)
        return Signature("", tuple(ordered), is_open=is_open, deprecations=tuple(self._notices(line)))

    # -- functions -------------------------------------------------------------------

    def _function(
        self, path: str, function: Function, line: tuple[Found, ...], place: int, depth: int
    ) -> Signature | None:
        parameters = function.parameters
        if function.kind in ("method", "classmethod") and parameters and parameters[0].kind < VAR_POSITIONAL:
            parameters = parameters[1:]
        taken = frozenset(function.taken)
        if not any(parameter.kind == VAR_KEYWORD for parameter in parameters):
            return Signature(path, parameters, taken=taken, deprecations=function.deprecations)
        if function.refuses_rest:
            return Signature(path, parameters, taken=taken, deprecations=function.deprecations)
        forwarded: dict[str, Parameter] = {}
        notices = list(function.deprecations)
        # What goes nowhere is swallowed: nothing fails, so nothing can be called unknown.
        is_open = not function.forwards
        for target in function.forwards:
            reached = self._reached(target, line, place, depth) if depth < _MAX_DEPTH else None
            if reached is None:
                is_open = True
                continue
            forwarded |= {p.name: p for p in (*reached.forwarded.values(), *reached.parameters) if _by_keyword(p)}
            taken |= reached.taken
            notices += reached.deprecations
            is_open |= reached.is_open
        return Signature(path, parameters, forwarded, taken, is_open, tuple(notices))

    def _reached(self, target: str, line: tuple[Found, ...], place: int, depth: int) -> Signature | None:
        """The signature of a callable that gets the rest of the keywords."""
        where, _, name = target.partition(".")
        if where == "super" and line:
            if name == "__init__":
                made = self._made(line, place + 1, depth + 1)
                # Nobody known writes the constructor, and there are ancestors that are not known (argparse, dict).
                unknown = made is not None and not made.path and not self.interfaces.known_line(line[0].path)[1]
                return None if unknown else made
            return self._method(line, place + 1, name, depth)
        if where in ("self", "cls") and line:
            return self._made(line, 0, depth + 1) if not name else self._method(line, 0, name, depth)
        if where in ("super", "self", "cls", "?"):
            return None
        found = self.interfaces.find(target)
        if not isinstance(found, Found):
            return None
        if isinstance(found.definition, Class):
            return self._made(self.interfaces.known_line(found.path)[0], 0, depth + 1)
        if isinstance(found.definition, Function) and not found.definition.dynamic:
            return self._function(found.path, found.definition, (), 0, depth + 1)
        return None

    def _method(self, line: tuple[Found, ...], start: int, name: str, depth: int) -> Signature | None:
        found = self.interfaces.method(line[start:], name)
        if found is None or found[1].dynamic:
            return None
        place = start + found[0]
        return self._function(f"{line[place].path}.{name}", found[1], line, place, depth + 1)

    # -- past and future ---------------------------------------------------------------

    def past(self, path: str, argument: str) -> Past:
        """In which other releases the callable takes a keyword by name: of its own library, else of its bases'."""
        interfaces = self.interfaces
        own = path.partition(".")[0]
        bases = {found.package for found in interfaces.known_line(path)[0]} - {own}
        for library in [own, *sorted(bases)]:

            def has(version: str, library: str = library) -> bool:
                other = Signatures(interfaces.at(library, version)).of(path)
                return other is not None and other.names(argument)

            past = interfaces.timeline(library, has)
            if past:
                return past
        return Past(own, interfaces.versions[own])

    def successor(self, path: str, argument: str, past: Past) -> Deprecation | None:
        """What the last release that took a keyword said of its new spelling, or an older one did."""
        interfaces = self.interfaces
        versions = interfaces.index.versions(past.package)
        newest = versions.index(past.last) if past.last is not None else -1
        for version in reversed(versions[: newest + 1]):
            known = Signatures(interfaces.at(past.package, version)).of(path)
            if known is None or not known.names(argument):
                return None
            notice = known.notice(argument)
            if notice is not None and notice.new:
                return notice
        return None
