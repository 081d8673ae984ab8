"""A function or method from its node. griffe reads the parameters."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from griffe import ParameterKind, get_parameters

from trainguard.indexing.choices import annotated_choices, checked_choices
from trainguard.indexing.keywords import read_keywords
from trainguard.indexing.notices import notice, read_decorator, read_notices
from trainguard.indexing.raw import RawDeprecation, RawFunction, RawParameter
from trainguard.indexing.texts import dotted, message_of, nodes_of, source, tells
from trainguard.libraries.api.records import (
    KEYWORD_ONLY,
    POSITIONAL_ONLY,
    POSITIONAL_OR_KEYWORD,
    VAR_KEYWORD,
    VAR_POSITIONAL,
)

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_KINDS = {
    ParameterKind.positional_only: POSITIONAL_ONLY,
    ParameterKind.positional_or_keyword: POSITIONAL_OR_KEYWORD,
    ParameterKind.var_positional: VAR_POSITIONAL,
    ParameterKind.keyword_only: KEYWORD_ONLY,
    ParameterKind.var_keyword: VAR_KEYWORD,
}
_PROPERTIES = {"property", "cached_property", "classproperty", "abstractproperty", "hybridproperty"}
_SETTERS = {"setter", "deleter"}


def last_name(node: ast.expr) -> str:
    """The last part of a decorator's name, called or not."""
    name = dotted(node.func if isinstance(node, ast.Call) else node)
    return (name or "").rpartition(".")[2]


def is_shadow(node: FunctionNode) -> bool:
    """Whether a definition adds nothing: an overload, a property's setter, a case of a dispatched function."""
    return any(last_name(decorator) in {"overload", "register", *_SETTERS} for decorator in node.decorator_list)


def read_function(node: FunctionNode, constants: Mapping[str, ast.expr], *, in_class: bool = False) -> RawFunction:
    """A function's record. The body is read for checks, notices and the way of `**kwargs`."""
    decorators = [last_name(decorator) for decorator in node.decorator_list]
    kind = _kind(node, decorators, in_class)
    function: RawFunction = {"kind": kind, "parameters": []}
    if kind == "property":
        return function
    parameters = _parameters(node, constants)
    defaults = {one["name"]: one.get("default") for one in parameters}
    kwarg = node.args.kwarg.arg if node.args.kwarg else None
    function["parameters"] = parameters

    names = {one["name"] for one in parameters}
    checked = (
        checked_choices(
            node.body, lambda item: item.id if isinstance(item, ast.Name) and item.id in names else None, constants
        )
        if _can_refuse(node)
        else {}
    )
    for one in parameters:
        if one["name"] in checked and one.get("choices") is None:
            one["choices"] = checked[one["name"]]

    _read_rest(node, function)
    popped = dict.fromkeys(_popped_names(node.body, kwarg), "None")
    deprecations = [one for decorator in node.decorator_list for one in read_decorator(decorator)]
    if any(isinstance(inner, ast.If) for inner in nodes_of(node)):
        deprecations += read_notices(node.body, None, kwarg, {**popped, **defaults})
    deprecations += _whole(node)
    if deprecations:
        function["deprecations"] = _distinct(deprecations)

    for decorator in node.decorator_list:
        if last_name(decorator) == "wraps" and isinstance(decorator, ast.Call) and decorator.args:
            function["wraps"] = dotted(decorator.args[0]) or "?"
    references = [dotted(one.func if isinstance(one, ast.Call) else one) or "?" for one in node.decorator_list]
    if kept := [name for name in references if name not in {"staticmethod", "classmethod"}]:
        function["decorators"] = kept
    if not in_class:
        _read_as_decorator(node, function)
    return function


def _read_rest(node: FunctionNode, function: RawFunction) -> None:
    """What becomes of `**kwargs`."""
    keywords = read_keywords(node)
    if keywords.taken:
        function["taken"] = keywords.taken
    if keywords.forwards:
        function["forwards"] = keywords.forwards
    if keywords.refuses_rest:
        function["refuses_rest"] = True


def _read_as_decorator(node: FunctionNode, function: RawFunction) -> None:
    """What a function does to the functions or classes that it decorates, if it is a decorator."""
    keeps, pops = _as_decorator(node)
    if keeps is not None:
        function["keeps"] = keeps
    if pops:
        function["pops"] = pops
    if (made := _makes_dataclass(node)) is not None:
        function["makes"] = made


def _can_refuse(node: FunctionNode) -> bool:
    """Whether a body can refuse a value: it raises, or makes something of an argument (`mode = Mode(mode)`)."""
    return any(
        isinstance(inner, ast.Raise)
        or (
            isinstance(inner, ast.Assign)
            and isinstance(inner.value, ast.Call)
            and len(inner.value.args) == 1
            and isinstance(inner.value.args[0], ast.Name)
        )
        for inner in nodes_of(node)
    )


def _kind(node: FunctionNode, decorators: Sequence[str], in_class: bool) -> str:
    if any(name in _PROPERTIES or name.endswith("property") for name in decorators):
        return "property"
    if not in_class:
        return "function"
    if "staticmethod" in decorators:
        return "staticmethod"
    if "classmethod" in decorators or node.name in {"__init_subclass__", "__class_getitem__"}:
        return "classmethod"
    return "method"


def _parameters(node: FunctionNode, constants: Mapping[str, ast.expr]) -> list[RawParameter]:
    parameters: list[RawParameter] = []
    for name, annotation, kind, default in get_parameters(node.args):
        parameter: RawParameter = {"name": name, "kind": _KINDS[kind]}
        # griffe gives `()` and `{}` as the defaults of `*args` and `**kwargs`.
        if isinstance(default, ast.expr):
            parameter["default"] = source(default)
        expression = annotation if isinstance(annotation, ast.expr) else None
        if expression is not None:
            parameter["annotation"] = source(expression)
            if kind not in {ParameterKind.var_positional, ParameterKind.var_keyword}:
                choices = annotated_choices(expression, constants)
                if choices and any(atom.get("value") is not None for atom in choices):
                    parameter["choices"] = choices
        parameters.append(parameter)
    return parameters


def _popped_names(body: Sequence[ast.stmt], kwarg: str | None) -> list[str]:
    """The local names of keywords that are taken out of `**kwargs` under their own name, None where not given."""
    names = []
    for statement in body:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.value, ast.Call):
            call, target = statement.value, statement.targets[0]
            if (
                kwarg is not None
                and isinstance(target, ast.Name)
                and dotted(call.func) in {f"{kwarg}.pop", f"{kwarg}.get"}
                and call.args
                and isinstance(call.args[0], ast.Constant)
                and call.args[0].value == target.id
                and (len(call.args) < 2 or (isinstance(call.args[1], ast.Constant) and call.args[1].value is None))
            ):
                names.append(target.id)
    return names


def _whole(node: FunctionNode) -> list[RawDeprecation]:
    """A body that begins by saying that the function itself is deprecated."""
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    first = body[0] if body else None
    if not isinstance(first, ast.Expr) or (call := tells(first.value)) is None or not call.args:
        return []
    text = message_of(call.args[0])
    if "deprecated" not in text or node.name not in text:
        return []
    whole = notice("", text)
    whole.pop("new", None)
    return [whole]


def _distinct(deprecations: list[RawDeprecation]) -> list[RawDeprecation]:
    """One notice for a name; what the code shows outweighs what a text says."""
    found: dict[str, RawDeprecation] = {}
    for one in deprecations:
        name = one["name"]
        if name not in found or (one.get("same") and not found[name].get("same")):
            found[name] = one
    return list(found.values())


def _as_decorator(node: FunctionNode) -> tuple[bool | None, list[str]]:
    """Whether what a function decorates keeps its signature (None: it is no decorator), and the keywords that its
    wrapper takes out. A wrapper under `functools.wraps` shows the signature of what it wraps."""
    inner = [one for one in nodes_of(node) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    wrappers = [one for one in inner[1:] if any(last_name(item) == "wraps" for item in one.decorator_list)]
    if any(isinstance(one, ast.Attribute) and one.attr == "__signature__" for one in nodes_of(node)):
        return False, []
    pops = [name for wrapper in wrappers for name in read_keywords(wrapper).pops]
    if wrappers:
        return True, pops
    arguments = {argument.arg for one in inner for argument in one.args.args[:1]}
    returned = [one.value for one in nodes_of(node) if isinstance(one, ast.Return) and one.value is not None]
    names = {one.id for one in returned if isinstance(one, ast.Name)}
    wrapped = {one.name for one in inner[1:]}
    if any(last_name(one) in {"wraps", "update_wrapper", "lru_cache", "cache"} for one in returned):
        return True, []
    if names & arguments and not names & (wrapped - _factories(inner)):
        return True, []
    return (False, []) if names & wrapped else (None, [])


def _makes_dataclass(node: FunctionNode) -> dict[str, bool] | None:
    """The options with which a class decorator makes a dataclass of what it decorates."""
    names = {argument.arg for argument in node.args.args[:1]}
    for inner in nodes_of(node):
        is_dataclass = isinstance(inner, ast.Call) and inner.args and last_name(inner) == "dataclass"
        if is_dataclass and isinstance(inner, ast.Call) and dotted(inner.args[0]) in names:
            return call_options(inner)
    return None


def call_options(node: ast.expr) -> dict[str, bool]:
    """The options of a call that are True or False."""
    if not isinstance(node, ast.Call):
        return {}
    return {
        keyword.arg: keyword.value.value
        for keyword in node.keywords
        if keyword.arg and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool)
    }


def _factories(inner: Sequence[FunctionNode]) -> set[str]:
    """Inner functions that are themselves decorators: they give back what they are given."""
    return {
        one.name
        for one in inner
        if one.args.args
        and any(
            isinstance(item, ast.Return) and isinstance(item.value, ast.Name) and item.value.id == one.args.args[0].arg
            for item in nodes_of(one)
        )
    }
