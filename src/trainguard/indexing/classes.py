"""A class from its node: bases, fields, members; its methods are read by `functions`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence

from trainguard.indexing.choices import annotated_choices, checked_choices
from trainguard.indexing.functions import FunctionNode, call_options, is_shadow, last_name, read_function
from trainguard.indexing.notices import notice_of_help, read_notices
from trainguard.indexing.raw import RawAtom, RawClass, RawDeprecation, RawFunction, RawParameter, Value
from trainguard.indexing.texts import dotted, import_target, literal, literals_of, message_of, nodes_of, source, text_of
from trainguard.libraries.api.records import KEYWORD_ONLY, POSITIONAL_OR_KEYWORD


def read_class(
    node: ast.ClassDef,
    constants: Mapping[str, ast.expr],
    classes: dict[str, RawClass],
    functions: dict[str, RawFunction],
    prefix: str = "",
) -> RawClass:
    """A class's record; its methods are put into `functions`, classes inside it into `classes`, by qualified name."""
    body = _Body(constants)
    path = f"{prefix}{node.name}"
    for statement in _flat(node.body):
        if isinstance(statement, ast.ClassDef):
            body.members.add(statement.name)
            classes[f"{path}.{statement.name}"] = read_class(statement, constants, classes, functions, f"{path}.")
        else:
            body.read(statement)
    record: RawClass = {
        "bases": [dotted(base) or "?" for base in node.bases],
        "decorators": [dotted(one.func if isinstance(one, ast.Call) else one) or "?" for one in node.decorator_list],
        "dataclass": _dataclass_options(node.decorator_list),
        "fields": body.fields,
        "has_init": "__init__" in body.functions,
        "has_new": "__new__" in body.functions,
    }
    if body.imports:
        record["imports"] = body.imports
    if body.assigned:
        record["assigned"] = body.assigned
    for keyword in node.keywords:
        if keyword.arg == "metaclass":
            record["metaclass"] = dotted(keyword.value) or "?"
    _read_special_methods(body, record)
    for name, method in body.methods.items():
        body.members |= _set_attributes(method, body.functions[name]["kind"])
    record["members"] = sorted(body.members)
    _add_notices(record, [one for statement in node.body for one in _help_notices(statement)])
    functions.update({f"{path}.{name}": function for name, function in body.functions.items()})
    return record


class _Body:
    """What the statements of a class body define."""

    def __init__(self, constants: Mapping[str, ast.expr]) -> None:
        self.constants = constants
        self.methods: dict[str, FunctionNode] = {}
        self.functions: dict[str, RawFunction] = {}
        self.members: set[str] = set()
        self.assigned: list[tuple[str, bool, Value]] = []
        self.fields: list[RawParameter] = []
        self.imports: dict[str, str] = {}
        self._keyword_only = False

    def read(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            self.members.add(statement.name)
            if not is_shadow(statement):
                function = read_function(statement, self.constants, in_class=True)
                if any(dotted(one) in self.methods for one in statement.decorator_list):
                    function["dynamic"] = True  # decorated by a method above it, as accelerate's `Accelerator.log`
                self.methods[statement.name] = statement
                self.functions[statement.name] = function
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            self._annotated(statement, statement.target.id)
        elif isinstance(statement, ast.ImportFrom):
            # transformers, `Trainer`: `from .trainer_pt_utils import log_metrics` makes a method.
            self.imports.update({one.asname or one.name: import_target(statement, one.name) for one in statement.names})
            self.members |= {one.asname or one.name for one in statement.names}
        elif isinstance(statement, ast.Assign):
            for name in _target_names(statement.targets):
                self._assign(name, statement.value)

    def _annotated(self, statement: ast.AnnAssign, name: str) -> None:
        if _is_keyword_only_mark(statement):
            self._keyword_only = True
            return
        self.members.add(name)
        parameter = _field(statement, name, self.constants, self._keyword_only)
        if parameter is not None:
            self.fields.append(parameter)

    def _assign(self, name: str, value: ast.expr) -> None:
        self.members.add(name)
        alias = dotted(value)
        if alias in self.functions:
            self.functions[name] = self.functions[alias]
        elif not name.startswith("__"):
            self.assigned.append((name, *literal(value)))


def _read_special_methods(body: _Body, record: RawClass) -> None:
    methods = body.methods
    if "__getattr__" in methods or "__getattribute__" in methods or any(map(_makes_up, methods.values())):
        record["getattr"] = True
    if "__post_init__" in methods:
        _read_post_init(methods["__post_init__"], record, body.constants)
    if "_missing_" in methods and any(
        isinstance(inner, ast.Return) and inner.value is not None and literal(inner.value) != (True, None)
        for inner in nodes_of(methods["_missing_"])
    ):
        record["missing_values"] = True
    if "__init_subclass__" in methods and (options := _subclass_options(methods["__init_subclass__"])) is not None:
        record["subclasses"] = options


def _flat(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a class body, those under conditions too."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _flat([*statement.orelse, *statement.body])
        elif isinstance(statement, ast.Try):
            handled = [inner for handler in statement.handlers for inner in handler.body]
            yield from _flat([*handled, *statement.body, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With):
            yield from _flat(statement.body)
        else:
            yield statement


def _target_names(targets: Sequence[ast.expr]) -> Iterator[str]:
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id
        elif isinstance(target, ast.Tuple | ast.List):
            yield from _target_names(target.elts)


def _dataclass_options(decorators: Sequence[ast.expr]) -> dict[str, bool] | None:
    """The options of `@dataclass`, None of a class that is none by its own decorators."""
    for decorator in decorators:
        # `dataclass_with_extra` and its like are told by reading them: a wrapper that calls `dataclass`.
        if last_name(decorator) == "dataclass":
            return call_options(decorator)
    return None


def _subclass_options(node: FunctionNode) -> dict[str, bool] | None:
    """The options with which `__init_subclass__` makes subclasses dataclasses (transformers 5, `PreTrainedConfig`)."""
    for inner in nodes_of(node):
        if isinstance(inner, ast.Call) and last_name(inner) == "dataclass":
            return call_options(inner)
    return None


def _is_keyword_only_mark(node: ast.AnnAssign) -> bool:
    return (dotted(node.annotation) or text_of(node.annotation) or "").rpartition(".")[2] == "KW_ONLY"


def _field(
    node: ast.AnnAssign, name: str, constants: Mapping[str, ast.expr], keyword_only: bool
) -> RawParameter | None:
    """An annotated name of a class body as a field of a dataclass, whether the class is one or not."""
    annotation = ast.unparse(node.annotation).strip("'\"")
    if annotation.split("[")[0].rpartition(".")[2] == "ClassVar":
        return None
    field: RawParameter = {"name": name, "annotation": source(node.annotation)}
    if keyword_only:
        field["kind"] = KEYWORD_ONLY
    choices = annotated_choices(node.annotation, constants)
    if choices and any(atom.get("value") is not None for atom in choices):
        field["choices"] = choices
    value = node.value
    if isinstance(value, ast.Call) and "field" in last_name(value).lower():
        # `field`, or a helper that makes one (huggingface_hub `validated_field`): its options are a field's.
        _read_field_call(value, field, constants)
    elif value is not None:
        field["default"] = source(value)
    return field


def _read_field_call(call: ast.Call, field: RawParameter, constants: Mapping[str, ast.expr]) -> None:
    for keyword in call.keywords:
        if keyword.arg == "default":
            field["default"] = source(keyword.value)
        elif keyword.arg in {"default_factory", "factory"}:
            field["default"] = _made(keyword.value)
        elif keyword.arg == "init" and literal(keyword.value) == (True, False):
            field["init"] = False
        elif keyword.arg == "kw_only" and isinstance(keyword.value, ast.Constant):
            field["kind"] = KEYWORD_ONLY if keyword.value.value else POSITIONAL_OR_KEYWORD
        elif keyword.arg == "metadata" and isinstance(keyword.value, ast.Dict):
            for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                values = literals_of(value, constants) if text_of(key) == "choices" else None
                if values is not None and field.get("choices") is None:
                    field["choices"] = [{"value": one} for one in values]


def _made(factory: ast.expr) -> str | None:
    """The source of what a default factory makes."""
    if isinstance(factory, ast.Lambda):
        return source(factory.body)
    return f"{source(factory)}()"


def _help_notices(node: ast.stmt) -> Iterator[RawDeprecation]:
    """The notice in a field's help text."""
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        return
    for inner in nodes_of(node.value) if node.value is not None else ():
        if isinstance(inner, ast.Dict):
            for key, value in zip(inner.keys, inner.values, strict=True):
                if text_of(key) == "help" and (found := notice_of_help(node.target.id, message_of(value))) is not None:
                    yield found


def _set_attributes(method: FunctionNode, kind: str) -> set[str]:
    """The attributes that a method sets on its instance."""
    arguments = [*method.args.posonlyargs, *method.args.args]
    if not arguments or kind == "staticmethod":
        return set()
    owner = arguments[0].arg
    names = set()
    for inner in nodes_of(method):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and dotted(inner.value) == owner:
            names.add(inner.attr)
        elif isinstance(inner, ast.Call) and len(inner.args) == 3 and dotted(inner.func) == "setattr":
            name = text_of(inner.args[1]) if dotted(inner.args[0]) == owner else None
            names |= set() if name is None else {name}
    return names


def _makes_up(method: FunctionNode) -> bool:
    """Whether a method sets attributes of names that cannot be read (`setattr(self, key, value)`)."""
    known = _known_names(method)
    for inner in nodes_of(method):
        if isinstance(inner, ast.Call):
            name = dotted(inner.func)
            if name == "setattr" and len(inner.args) == 3 and dotted(inner.args[0]) == "self":
                if text_of(inner.args[1]) is None and dotted(inner.args[1]) not in known:
                    return True
            elif name == "self.__dict__.update":
                return True
        elif isinstance(inner, ast.Attribute) and inner.attr == "__dict__" and isinstance(inner.ctx, ast.Store):
            return True
    return False


def _known_names(method: FunctionNode) -> set[str | None]:
    """The names that stand for attributes that the class has: of loops over literals, over a constant of the class
    (`for name in self._VALID_DICT_FIELDS`), over the class's fields."""
    known: set[str | None] = set()
    for inner in nodes_of(method):
        if not isinstance(inner, ast.For):
            continue
        over = (dotted(inner.iter) or "").rpartition(".")[2]
        made = last_name(inner.iter) if isinstance(inner.iter, ast.Call) else ""
        if isinstance(inner.iter, ast.Tuple | ast.List) or over.isupper() or made == "fields":
            known |= {dotted(one) for one in nodes_of(inner.target) if isinstance(one, ast.expr)}
            known |= {f"{one}.name" for one in list(known)}
    return known


def _read_post_init(method: FunctionNode, record: RawClass, constants: Mapping[str, ast.expr]) -> None:
    owner = method.args.args[0].arg if method.args.args else "self"
    kwarg = method.args.kwarg.arg if method.args.kwarg else None

    def subject(node: ast.expr) -> str | None:
        return node.attr if isinstance(node, ast.Attribute) and dotted(node.value) == owner else None

    checked: dict[str, list[RawAtom]] = checked_choices(method.body, subject, constants)
    for field in record["fields"]:
        if field["name"] in checked:
            field["choices"] = checked[field["name"]]
    defaults = {field["name"]: field.get("default") for field in record["fields"]}
    _add_notices(record, read_notices(method.body, owner, kwarg, defaults))


def _add_notices(record: RawClass, notices: Sequence[RawDeprecation]) -> None:
    known = {one["name"] for one in record.get("deprecations", [])}
    new = [one for one in notices if one["name"] not in known]
    if new:
        record["deprecations"] = [*record.get("deprecations", []), *new]
