"""Lists and dicts that a script writes out in full and does not change afterwards."""

from __future__ import annotations

import ast

from trainguard.facts.diagnostics_tree import Tree, dotted

# Reading a list or dict in these ways cannot change it.
_READING_METHODS = {"get", "keys", "values", "items", "copy", "index", "count"}
_READING_CALLS = {
    "len", "print", "sorted", "sum", "min", "max", "enumerate", "zip", "list", "tuple", "set", "dict", "str", "repr",
    "any", "all", "json.dumps", "isinstance", "type", "bool", "iter", "reversed", "range", "float", "int",
}  # fmt: skip
# Given more than one argument, these may return the very object that they were given.
_RETURNING_AN_ARGUMENT = {"max", "min", "sum"}
# Through these a variable can be changed without being named.
_REACHING_BY_TEXT = ("eval", "vars", "locals", "__import__")


def literal_of(node: ast.expr, tree: Tree) -> ast.Dict | ast.List | None:
    """The complete literal that `node` is, or that it names and nothing can have changed."""
    value = node
    if isinstance(node, ast.Subscript):
        entry = _entry(node, tree)
        if entry is None:
            return None
        value = entry
    elif isinstance(node, ast.Name):
        single = only_value(node, tree)
        if single is None or not _only_read(node, tree):
            return None
        value = single
    if isinstance(value, ast.List):
        return None if any(isinstance(item, ast.Starred) for item in value.elts) else value
    if isinstance(value, ast.Dict):
        return value if all(isinstance(key, ast.Constant) for key in value.keys) else None
    return None


def _entry(node: ast.Subscript, tree: Tree) -> ast.expr | None:
    """What stands at a constant key of a literal, where nothing can have changed what is inside of it."""
    root: ast.expr = node
    while isinstance(root, ast.Subscript):
        root = root.value
    if isinstance(root, ast.Name) and any(reaching in tree.names for reaching in _REACHING_BY_TEXT):
        return None
    if isinstance(root, ast.Name) and not all(_is_read_deeply(n, tree) for n in tree.names[root.id]):
        return None
    return _written_at(node, tree)


def _written_at(node: ast.expr, tree: Tree) -> ast.expr | None:
    """The expression in the text that a chain of lookups with constant keys leads to."""
    if isinstance(node, ast.Name):
        return only_value(node, tree)
    if not isinstance(node, ast.Subscript):
        return node
    container = _written_at(node.value, tree)
    known, key = constant_of(node.slice, tree)
    if not known:
        return None
    if isinstance(container, ast.Dict) and all(isinstance(k, ast.Constant) for k in container.keys):
        pairs = zip(container.keys, container.values, strict=True)
        found = [value for k, value in pairs if isinstance(k, ast.Constant) and k.value == key]
        return found[-1] if found else None
    if isinstance(container, ast.List) and isinstance(key, int) and -len(container.elts) <= key < len(container.elts):
        return None if any(isinstance(item, ast.Starred) for item in container.elts) else container.elts[key]
    return None


def _is_read_deeply(mention: ast.Name, tree: Tree) -> bool:
    """Whether a mention changes nothing inside, and hands nothing on that others might change."""
    if isinstance(mention.ctx, ast.Store):
        return True
    node: ast.expr = mention
    while isinstance(parent := tree.parents.get(node), ast.Subscript) and parent.value is node:
        if not constant_of(parent.slice, tree)[0]:
            return False
        node = parent
    if not isinstance(getattr(node, "ctx", None), ast.Load) or isinstance(parent, ast.AugAssign | ast.Attribute):
        return False
    if node is mention:
        return isinstance(parent, ast.keyword) and parent.arg is None
    # Numbers, strings and the like cannot be changed by whoever gets them; nor can a key that is missing.
    return not isinstance(_written_at(node, tree), ast.Dict | ast.List | ast.Set | ast.Call | ast.Name)


def constant_of(node: ast.expr, tree: Tree) -> tuple[bool, object]:
    value: ast.expr | None = node
    if isinstance(node, ast.Name):
        value = only_value(node, tree)
    if isinstance(value, ast.Constant):
        return True, value.value
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) and isinstance(value.operand, ast.Constant):
        number = value.operand.value
        return isinstance(number, int), -number if isinstance(number, int) else None
    return False, None


def only_value(name: ast.Name, tree: Tree) -> ast.expr | None:
    """What `name` is assigned, if that happens once, in a plain statement that comes before."""
    scope = tree.binding_scope(name, name.id)
    if isinstance(scope, ast.ClassDef) or name.id in tree.rebound_elsewhere:
        return None
    if tree.has_star_import or tree.makes_names_at_run_time:
        return None
    bindings = tree.bindings(scope).get(name.id, [])
    if len(bindings) != 1 or any(_is_loop_variable(name, parent) for parent in tree.ancestors(name)):
        return None
    parent = tree.parents.get(bindings[0].node)
    if isinstance(parent, ast.Assign) and bindings[0].node in parent.targets and len(parent.targets) == 1:
        return parent.value
    return parent.value if isinstance(parent, ast.AnnAssign) else None


def _is_loop_variable(name: ast.Name, parent: ast.AST) -> bool:
    if not isinstance(parent, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return False
    targets = (node for generator in parent.generators for node in ast.walk(generator.target))
    return any(isinstance(target, ast.Name) and target.id == name.id for target in targets)


def _only_read(name: ast.Name, tree: Tree) -> bool:
    """Whether every mention of the name in the file leaves its value as it is."""
    if any(reaching in tree.names for reaching in _REACHING_BY_TEXT):
        return False
    return all(_is_read(node, tree) for node in tree.names[name.id])


def _is_read(node: ast.Name, tree: Tree) -> bool:
    if not isinstance(node.ctx, ast.Load):
        return isinstance(node.ctx, ast.Store)
    parent = tree.parents.get(node)
    if isinstance(parent, ast.Subscript):
        return isinstance(parent.ctx, ast.Load) and parent.value is node and not _is_changed(parent, tree)
    if isinstance(parent, ast.Call):
        return node in parent.args and _is_reading_call(parent, tree)
    if isinstance(parent, ast.Attribute):
        return parent.attr in _READING_METHODS
    if isinstance(parent, ast.keyword):
        return parent.arg is None  # `**name` copies
    return isinstance(parent, ast.For | ast.comprehension | ast.Compare | ast.FormattedValue | ast.Starred | ast.If)


def _is_reading_call(call: ast.Call, tree: Tree) -> bool:
    name = dotted(call.func)
    if name not in _READING_CALLS or (name in _RETURNING_AN_ARGUMENT and len(call.args) > 1):
        return False
    root, _, attribute = name.partition(".")
    if attribute in tree.stored_attributes:
        return False
    bindings = tree.bindings(tree.binding_scope(call, root)).get(root, [])
    return all(isinstance(binding.node, ast.Import) for binding in bindings)  # else a function of the script's own


def _is_changed(subscript: ast.Subscript, tree: Tree) -> bool:
    return isinstance(tree.parents.get(subscript), ast.AugAssign)
