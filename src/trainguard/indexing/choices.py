"""The literals that an argument accepts, where the source says that it refuses all others."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from trainguard.indexing.raw import RawAtom
from trainguard.indexing.texts import dotted, ends_in_raise, literal, literals_of, nodes_of, walk_statements

# What an expression stands for: the argument's name, where it is one (`self.optim`, `optim`).
Subject: TypeAlias = Callable[[ast.expr], str | None]

_LITERAL = {"Literal", "typing.Literal", "typing_extensions.Literal", "t.Literal"}
_UNION = {"Union", "typing.Union", "t.Union"}
_OPTIONAL = {"Optional", "typing.Optional", "t.Optional"}


def annotated_choices(node: ast.expr | None, constants: Mapping[str, ast.expr], depth: int = 0) -> list[RawAtom] | None:
    """The values of an annotation that admits literals only (`Literal["a", "b"] | None`), else None."""
    if node is None or depth > 4:
        return None
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            try:
                return annotated_choices(ast.parse(node.value, mode="eval").body, constants, depth + 1)
            except SyntaxError:
                return None
        return [{"value": None}] if node.value is None else None
    if isinstance(node, ast.Name):
        return annotated_choices(constants.get(node.id), constants, depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _joined([node.left, node.right], constants, depth)
    if not isinstance(node, ast.Subscript):
        return None
    items = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    name = dotted(node.value)
    if name in _LITERAL:
        values = [literal(item) for item in items]
        return [{"value": value} for _, value in values] if all(known for known, _ in values) else None
    if name in _UNION:
        return _joined(items, constants, depth)
    if name in _OPTIONAL:
        inner = _joined(items, constants, depth)
        return None if inner is None else [*inner, {"value": None}]
    return None


def _joined(nodes: Sequence[ast.expr], constants: Mapping[str, ast.expr], depth: int) -> list[RawAtom] | None:
    atoms: list[RawAtom] = []
    for node in nodes:
        inner = annotated_choices(node, constants, depth + 1)
        if inner is None:
            return None
        atoms.extend(inner)
    # `None` alone says nothing.
    return atoms


def checked_choices(
    body: Sequence[ast.stmt], subject: Subject, constants: Mapping[str, ast.expr]
) -> dict[str, list[RawAtom]]:
    """The arguments of which a body refuses all but some literals, whatever the others are.

    Only statements that always run count. A value that the body replaces first (`if self.x == "old": self.x = "new"`)
    counts as accepted; an argument that it changes in any other way before the check is left out.
    """
    reader = _Checks(subject, constants)
    reader.read(body, None)
    return reader.found


class _Checks:
    def __init__(self, subject: Subject, constants: Mapping[str, ast.expr]) -> None:
        self._subject = subject
        self._constants = constants
        self._replaced: dict[str, list[RawAtom]] = {}
        self._changed: set[str] = set()
        self.found: dict[str, list[RawAtom]] = {}

    def read(self, body: Sequence[ast.stmt], guard: tuple[str, list[RawAtom]] | None) -> None:
        """Read statements; within a guard, only the argument that it is about can be judged."""
        for statement in body:
            if isinstance(statement, ast.If):
                if self._branch(statement, guard):
                    continue
            elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                self._assign(statement.targets[0], statement.value, guard)
                continue
            self._note_changes([statement], bool if guard is None else guard[0].__eq__)
            if any(isinstance(inner, ast.Return) for inner in walk_statements([statement])):
                return

    def _assign(self, target: ast.expr, value: ast.expr, guard: tuple[str, list[RawAtom]] | None) -> None:
        name = self._subject(target)
        if name is None:
            return
        if (
            isinstance(value, ast.Call)
            and len(value.args) == 1
            and not value.keywords
            and self._subject(value.args[0]) == name
            and (enum := dotted(value.func)) is not None
            and enum.rpartition(".")[2][:1].isupper()
        ):
            self._add(name, [{"enum": enum}], guard)
        if guard is None or guard[0] == name:
            self._changed.add(name)

    def _add(self, name: str, atoms: list[RawAtom], guard: tuple[str, list[RawAtom]] | None) -> None:
        if name in self._changed or name in self.found or (guard is not None and guard[0] != name):
            return
        extra = [] if guard is None else guard[1]
        self.found[name] = [*atoms, *extra, *self._replaced.get(name, [])]

    def _branch(self, node: ast.If, guard: tuple[str, list[RawAtom]] | None) -> bool:
        """Read an `if`; True where it has been understood."""
        if ends_in_raise(node.body) and not node.orelse and (refused := self._refusal(node.test)) is not None:
            self._add(refused[0], refused[1], guard)
            return True
        if (chain := self._chain(node)) is not None:
            self._add(chain[0], chain[1], guard)
            self._note_changes([node])
            return True
        if (guarded := self._guard(node.test)) is not None and not node.orelse and guard is None:
            self.read(node.body, guarded)
            return True
        if (case := self._case(node.test)) is not None and not node.orelse:
            # The value of this case is taken, and replaced.
            self._replaced.setdefault(case[0], []).extend(case[1])
            before = set(self._changed)
            self._note_changes(node.body)
            if case[0] not in before:
                self._changed.discard(case[0])
            return True
        return False

    def _guard(self, test: ast.expr) -> tuple[str, list[RawAtom]] | None:
        """`X is not None`, `X`: the values for which the guarded statements do not run."""
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.IsNot):
            name = self._subject(test.left)
            if name is not None and literal(test.comparators[0]) == (True, None):
                return name, [{"value": None}]
        name = self._subject(test)
        return None if name is None else (name, [{"value": None}, {"value": False}, {"value": ""}])

    def _refusal(self, test: ast.expr) -> tuple[str, list[RawAtom]] | None:
        """`X not in (…)`, also with `X is not None and`: what is not refused."""
        extra: list[RawAtom] = []
        names: set[str] = set()
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            for value in test.values[:-1]:
                if (guarded := self._guard(value)) is None:
                    return None
                names.add(guarded[0])
                extra.extend(guarded[1])
            test = test.values[-1]
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            found = self._case(test.operand)
        elif isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.NotIn):
            found = self._one_case(test, ast.NotIn)
        else:
            return None
        if found is None or names - {found[0]} or len(found[1]) < 2:
            return None
        return found[0], [*found[1], *extra]

    def _chain(self, node: ast.If) -> tuple[str, list[RawAtom]] | None:
        """`if X == "a": … elif X == "b": … else: raise`."""
        name = ""
        atoms: list[RawAtom] = []
        current = node
        while True:
            case = self._case(current.test)
            if case is None or (name and case[0] != name) or ends_in_raise(current.body):
                return None
            name = case[0]
            atoms.extend(case[1])
            if len(current.orelse) == 1 and isinstance(current.orelse[0], ast.If):
                current = current.orelse[0]
                continue
            return (name, atoms) if ends_in_raise(current.orelse) else None

    def _case(self, test: ast.expr) -> tuple[str, list[RawAtom]] | None:
        """`X == "a"`, `X in ("a", "b")`, `X is None`, and `or` of them."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
            cases = [self._one_case(value, ast.In) for value in test.values]
            known = [case for case in cases if case is not None]
            if len(known) != len(cases) or len({name for name, _ in known}) != 1:
                return None
            return known[0][0], [atom for _, atoms in known for atom in atoms]
        return self._one_case(test, ast.In)

    def _one_case(self, test: ast.expr, member: type[ast.cmpop]) -> tuple[str, list[RawAtom]] | None:
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or (name := self._subject(test.left)) is None:
            return None
        other = test.comparators[0]
        if isinstance(test.ops[0], member):
            values = literals_of(other, self._constants)
            return None if values is None else (name, [{"value": value} for value in values])
        known, value = literal(other)
        if known and isinstance(test.ops[0], ast.Eq | ast.Is) and member is ast.In:
            return name, [{"value": value}]
        return None

    def _note_changes(self, body: Sequence[ast.stmt], counts: Callable[[str], bool] = bool) -> None:
        """Note the arguments that statements change, of those that count.

        One that is replaced because another one was given (`if self.old is not None: self.new = self.old`) stays what
        it is for all who do not give the other one; one that is replaced because it is an object
        (`if isinstance(self.x, OldEnum): self.x = self.x.value`) was no literal.
        """
        for statement in body:
            if isinstance(statement, ast.If) and not statement.orelse:
                self._note_changes(statement.body, self._counting(statement.test))
                continue
            for inner in walk_statements([statement]):
                if isinstance(inner, ast.Attribute | ast.Name) and isinstance(inner.ctx, ast.Store):
                    name = self._subject(inner)
                    if name is not None and counts(name):
                        self._changed.add(name)

    def _counting(self, test: ast.expr) -> Callable[[str], bool]:
        if isinstance(test, ast.Call) and dotted(test.func) == "isinstance" and len(test.args) == 2:
            object_ = self._subject(test.args[0])
            if (dotted(test.args[1]) or "").rpartition(".")[2][:1].isupper():
                return lambda name: name != object_
        asked = {self._subject(inner) for inner in nodes_of(test) if isinstance(inner, ast.expr)} - {None}
        return (lambda name: name in asked) if asked else bool
