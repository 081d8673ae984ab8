"""What can be told about the conditions of an `if`, so that PY004 stays silent where they may always hold."""

from __future__ import annotations

import ast
import re

from trainguard.facts.diagnostics_search import may_be_sure, search_of
from trainguard.facts.diagnostics_tree import FUNCTIONS, Scope, Tree, dotted, names_in

# Conditions about the machine or what is installed are settled by whoever wrote the job, those about an object's
# own attributes by its class.
_SETTLED = re.compile(r"available|version|platform|hasattr|find_spec|TYPE_CHECKING|installed|__name__|\b(self|cls)\.")

# These are not: the script has been written to go on without the device that it asks for.
_DEVICE_QUESTION = re.compile(r"(not )?torch\.(cuda|xpu|npu|hpu|mps|accelerator|backends\.\w+)\.is_available\(\)")


def is_always_true(test: ast.expr, tree: Tree) -> bool:
    """`True`, `__name__ == "__main__"`, or a constant of the script that is set once, to something true."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.Compare) and dotted(test.left) == "__name__":
        return True
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        value = _script_constant(test.operand, tree)
        return isinstance(value, ast.Constant) and not value.value
    value = _script_constant(test, tree)
    return isinstance(value, ast.Constant) and bool(value.value)


def _script_constant(node: ast.expr, tree: Tree) -> ast.expr | None:
    if not isinstance(node, ast.Name) or node.id in tree.rebound_elsewhere:
        return None
    bindings = tree.bindings(tree.binding_scope(node, node.id)).get(node.id, [])
    parent = tree.parents.get(bindings[0].node) if len(bindings) == 1 else None
    return parent.value if isinstance(parent, ast.Assign | ast.AnnAssign) else None


def is_unjudged(statement: ast.stmt, scope: Scope, tree: Tree) -> bool:
    """Whether something before or around the statement may have settled its conditions."""
    if isinstance(statement, ast.For) and (search := search_of(statement)) is not None:
        if may_be_sure(statement, search, tree):
            return True
        statement = search
    if not isinstance(statement, ast.If | ast.Match):
        return False
    tests = _tests(statement)
    asks_device = asks_for_devices(statement)
    if asks_device and _is_device_required(tree):
        return True
    if not asks_device and any(_SETTLED.search(ast.unparse(test)) for test in tests):
        return True
    if any(isinstance(n, ast.NamedExpr) for test in tests for n in ast.walk(test)):
        return True
    if isinstance(tree.parents.get(scope), ast.ClassDef) and all(_asks_for_none(test) for test in tests):
        return True  # optional parameters of a method, of which its callers give one or the other
    asked = names_in(*tests) - ({"torch"} if asks_device else set())
    return any(asked & names_in(test) for test in _settling_tests(statement, scope, tree))


def asks_for_devices(statement: ast.stmt) -> bool:
    """Whether an `if` and all of its `elif` ask torch for a kind of device, of which a machine may have none."""
    if not isinstance(statement, ast.If):
        return False
    matches = [_DEVICE_QUESTION.fullmatch(ast.unparse(test)) for test in _tests(statement)]
    return None not in matches and (len(matches) == 1 or not any(match and match[1] for match in matches))


def _is_device_required(tree: Tree) -> bool:
    """Whether anything in the script ends it for want of a device, in whatever function that stands."""
    for mention in (*tree.attributes.get("is_available", ()), *tree.attributes.get("device_count", ())):
        below: ast.AST = mention
        for parent in tree.ancestors(mention):
            if isinstance(parent, ast.Assert):
                return True
            if isinstance(parent, ast.If) and below is parent.test and _may_end_script(parent):
                return True
            below = parent
    return False


def _asks_for_none(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp):
        return all(map(_asks_for_none, test.values))
    return isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.IsNot)


def _tests(statement: ast.If | ast.Match) -> list[ast.expr]:
    if isinstance(statement, ast.Match):
        return [statement.subject]
    tests = [statement.test]
    while len(statement.orelse) == 1 and isinstance(statement.orelse[0], ast.If):
        statement = statement.orelse[0]
        tests.append(statement.test)
    return tests


def _settling_tests(statement: ast.If | ast.Match, scope: Scope, tree: Tree) -> list[ast.AST]:
    """Conditions of the scope that hold at `statement`: around it, or above it with a way out."""
    found: list[ast.AST] = []
    for parent in tree.ancestors(statement):
        if isinstance(parent, (*FUNCTIONS, ast.ClassDef)):
            break
        if isinstance(parent, ast.If | ast.While):
            found.append(parent.test)
        elif isinstance(parent, ast.Match):
            found.append(parent.subject)
    for node in ast.walk(scope):
        if getattr(node, "lineno", statement.lineno) >= statement.lineno:
            continue
        if isinstance(node, ast.Assert) or (isinstance(node, ast.If) and _may_leave(node)):
            found.append(node.test)
    return found


def _may_leave(statement: ast.If) -> bool:
    leaving = (ast.Return, ast.Continue, ast.Break)
    return _may_end_script(statement) or any(isinstance(n, leaving) for n in ast.walk(statement))


def _may_end_script(statement: ast.If) -> bool:
    return any(
        isinstance(n, ast.Raise)
        or (isinstance(n, ast.Call) and (dotted(n.func) or "").rpartition(".")[2] in ("exit", "_exit", "error", "fail"))
        for n in ast.walk(statement)
    )


def related_names(statement: ast.If | ast.Match | ast.For | ast.Try | ast.TryStar) -> set[str]:
    """Names whose value may tell later which way the statement went."""
    stored = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    if isinstance(statement, ast.For):
        search = search_of(statement)
        return stored | (names_in(search.test) if search is not None else set())
    return stored | (names_in(*_tests(statement)) if isinstance(statement, ast.If | ast.Match) else set())


def enumerates_all(statement: ast.If | ast.Match, tree: Tree) -> bool | None:
    """Whether a chain of comparisons with literals covers all `choices` of the argparse option that it asks.

    False too for what the environment or the user types. None where that cannot be told: the chain then may cover all
    values there are.
    """
    asked = _matched_literals(statement) if isinstance(statement, ast.Match) else _chain_literals(statement)
    if asked is None:
        return None
    subject, covered = asked
    if _is_typed_in(subject, statement, tree):
        return False
    option = subject.rpartition(".")[2]
    calls = [n for n in tree.nodes if isinstance(n, ast.Call) and _declares(n, option)]
    if len(calls) != 1:
        return None
    choices = next((keyword.value for keyword in calls[0].keywords if keyword.arg == "choices"), None)
    if choices is None:
        return None if any(_restricts(keyword) for keyword in calls[0].keywords) else False
    if not isinstance(choices, ast.List | ast.Tuple | ast.Set):
        return None
    values = [item.value if isinstance(item, ast.Constant) else None for item in choices.elts]
    return None if None in values else set(values) <= covered


def _restricts(keyword: ast.keyword) -> bool:
    is_text = isinstance(keyword.value, ast.Name) and keyword.value.id == "str"
    return keyword.arg in ("action", None) or (keyword.arg == "type" and not is_text)


def _is_typed_in(subject: str, statement: ast.stmt, tree: Tree) -> bool:
    """Whether the subject is a variable that is only ever read from the environment, the command line or a prompt."""
    bindings = tree.bindings(tree.binding_scope(statement, subject)).get(subject, [])
    values = [parent.value for b in bindings if isinstance(parent := tree.parents.get(b.node), ast.Assign)]
    if len(bindings) != 1 or len(values) != 1:
        return False
    value = values[0]
    if isinstance(value, ast.Subscript):
        return dotted(value.value) in ("os.environ", "sys.argv")
    return isinstance(value, ast.Call) and dotted(value.func) in ("os.environ.get", "os.getenv", "input")


def _chain_literals(statement: ast.If) -> tuple[str, set[object]] | None:
    """The one subject that an `if`/`elif` chain asks about, and the literals that it asks for."""
    parts = [_compared_literals(test) for test in _tests(statement)]
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or len({subject for subject, _ in known}) != 1:
        return None
    return known[0][0], set().union(*(literals for _, literals in known))


def _matched_literals(statement: ast.Match) -> tuple[str, set[object]] | None:
    """The subject of a `match` and the literals of its cases, where it has no other cases."""
    subject = dotted(statement.subject)
    literals: set[object] = set()
    for case in statement.cases:
        patterns = case.pattern.patterns if isinstance(case.pattern, ast.MatchOr) else [case.pattern]
        for pattern in patterns:
            if not isinstance(pattern, ast.MatchValue) or not isinstance(pattern.value, ast.Constant):
                return None
            literals.add(pattern.value.value)
    return (subject, literals) if subject is not None else None


def _declares(call: ast.Call, option: str) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "add_argument":
        return False
    flags = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return any(flag.lstrip("-").replace("-", "_") == option for flag in flags)


def _compared_literals(test: ast.expr) -> tuple[str, set[object]] | None:
    """`x == "a"`, `x in ("a", "b")`: what is asked, and the literals that make it true."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        parts = [_compared_literals(value) for value in test.values]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts) or len({subject for subject, _ in known}) != 1:
            return None
        return known[0][0], set().union(*(literals for _, literals in known))
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    subject = dotted(test.left)
    right = test.comparators[0]
    if subject is None:
        return None
    if isinstance(test.ops[0], ast.Eq) and isinstance(right, ast.Constant):
        return subject, {right.value}
    if not isinstance(test.ops[0], ast.In) or not isinstance(right, ast.List | ast.Tuple | ast.Set):
        return None
    values: set[object] = {item.value for item in right.elts if isinstance(item, ast.Constant)}
    return (subject, values) if all(isinstance(item, ast.Constant) for item in right.elts) else None
