"""JOB019: another dataset than the one asked for, after an error."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from trainguard.facts.data_loads import DataLoad, data_loads
from trainguard.facts.handlers import catches_failures, consequences, endings, goes_on
from trainguard.facts.script import ScriptFacts
from trainguard.facts.structure import Binding, Block, Handler
from trainguard.facts.values import Constant, Items, Value, is_none, options
from trainguard.findings import Finding
from trainguard.libraries.model_names import same_thing
from trainguard.rules.base import Example, Rule, Subject

_WORDS = {"load_dataset", "from_dict", "from_list", "DataFrame", "read_json", "read_csv"}
_EXISTENCE_TESTS = {"exists", "isfile", "is_file", "isdir", "is_dir"}


class DatasetSubstituted(Rule):
    """When the dataset cannot be loaded, another one or made-up rows take its place.

    *What it does*

    Fires when an exception handler, an `or`, or an `if` on an empty result loads a dataset of another name, or
    makes rows up, and the script goes on. The same dataset in another revision, split, form or from another owner is
    no substitution, nor is a handler that raises or exits.

    *Why it costs you*

    The run is paid for and yields a model of data that nobody asked for, and nothing in its result says so.

    *Example*

    ```python
    try:
        train = load_dataset("acme/medical-dialogues", split="train")
    except Exception:
        train = load_dataset("yahma/alpaca-cleaned", split="train")
    ```

    *Use instead*

    ```python
    train = load_dataset("acme/medical-dialogues", split="train")  # fails where the data are missing
    ```
    """

    code = "JOB019"
    name = "dataset-substituted"
    severity = "warn"
    area = "job"
    needs = frozenset({"script"})

    def check(self, subject: Subject) -> Iterable[Finding]:
        script = subject.script
        if script is None or not _WORDS & script.mentions:
            return
        seen: set[ast.AST] = set()
        for asked, instead in (*_in_handlers(script), *_after_or(script), *_in_conditions(script)):
            if instead.call.node in seen:
                continue
            seen.add(instead.call.node)
            yield self._found(asked, instead)
        for names, load in _candidates(script):
            if load.call.node not in seen:
                seen.add(load.call.node)
                yield self.finding(
                    f"the first of {', '.join(names)} that loads is taken, and an error leads to other data without "
                    "a word to the caller; name one dataset, and let its error end the run",
                    where=load.call.location,
                    fix=f'load_dataset("{names[0]}") without the loop',
                )

    def _found(self, asked: DataLoad, instead: DataLoad) -> Finding:
        wanted = " or ".join(sorted(asked.names)[:2]) or f"`{asked.call.written_name}(…)`"
        if instead.kind == "made-up":
            what = "rows that the script makes up take the place of"
        else:
            what = f"{' or '.join(sorted(instead.names)[:2])} takes the place of"
        return self.finding(
            f"{what} {wanted} when that cannot be loaded, and the run goes on with data that nobody asked for; let the "
            "error end the run, and choose other data by an option",
            where=instead.call.location,
            fix="`raise` instead of other data",
        )

    _HEAD = "from datasets import Dataset, load_dataset\n"
    _TRY = _HEAD + 'try:\n    data = load_dataset("acme/legal-questions", split="train")\n'
    _END = (
        "when that cannot be loaded, and the run goes on with data that nobody asked for; let the error end the run, "
        "and choose other data by an option"
    )
    VALID = (
        Example(
            script=_TRY
            + 'except ValueError:\n    data = load_dataset("acme/legal-questions", revision="refs/convert/parquet")\n',
            why="The same dataset in another revision.",
        ),
        Example(
            script=_TRY + 'except Exception:\n    data = load_dataset("mirror/legal_questions", split="train")\n',
            why="The same dataset of another owner.",
        ),
        Example(
            script=_TRY
            + "except Exception as error:\n    print(\"try load_dataset('yahma/alpaca-cleaned')\")\n    raise\n",
            why="The other dataset is only proposed.",
        ),
        Example(
            script=_HEAD + 'name = "a/x" if wanted == "x" else "b/y"\ndata = load_dataset(name)\n',
            why="A choice of the user.",
        ),
        Example(
            script=(
                "from datasets import load_dataset, load_from_disk\n"
                "try:\n"
                '    data = load_from_disk("prepared")\n'
                "except FileNotFoundError:\n"
                '    data = load_dataset("acme/legal-questions")\n'
                '    data.save_to_disk("prepared")\n'
            ),
            why="The handler makes the copy that the try wants to read.",
        ),
        Example(
            script=_HEAD
            + "parts = []\n"
            + 'for name in ("acme/a", "acme/b"):\n'
            + "    parts.append(load_dataset(name))\n",
            why="A mixture of both.",
        ),
        Example(
            script=_HEAD
            + 'if debug:\n    data = Dataset.from_list([{"text": "a"}])\nelse:\n    data = load_dataset("acme/a")\n',
            why="The made-up rows are asked for.",
        ),
        Example(
            script=_HEAD + "extra = None\n"
            'if with_extra:\n    extra = load_dataset("acme/a")\n'
            'if extra is None:\n    extra = load_dataset("acme/b")\n',
            why="Without the option the other one is meant.",
        ),
    )
    INVALID = (
        Example(
            script=_TRY + 'except Exception:\n    data = load_dataset("stanfordnlp/imdb", split="train")\n',
            findings=((5, f"stanfordnlp/imdb takes the place of acme/legal-questions {_END}"),),
        ),
        Example(
            script=_TRY
            + 'except Exception:\n    data = Dataset.from_list([{"text": f"question {i}"} for i in range(100)])\n',
            findings=((5, f"rows that the script makes up take the place of acme/legal-questions {_END}"),),
        ),
        Example(
            script=_HEAD + "def try_load(name):\n"
            "    try:\n"
            '        return load_dataset(name, split="train")\n'
            "    except OSError:\n"
            "        return None\n"
            'data = try_load("acme/medical") or try_load("yahma/alpaca-cleaned")\n',
            findings=((7, f"yahma/alpaca-cleaned takes the place of acme/medical {_END}"),),
            why="One loader, two datasets.",
        ),
        Example(
            script=_HEAD + 'data = load_dataset("acme/medical", split="train").filter(is_good)\n'
            "if len(data) == 0:\n"
            '    data = Dataset.from_dict({"text": ["hello", "world"] * 50})\n',
            findings=((4, f"rows that the script makes up take the place of acme/medical {_END}"),),
        ),
        Example(
            script=_HEAD + 'for name in ["acme/medical", "yahma/alpaca-cleaned"]:\n'
            "    try:\n"
            "        data = load_dataset(name)\n"
            "        break\n"
            "    except Exception as error:\n"
            "        print(name, error)\n",
            findings=(
                (
                    4,
                    "the first of acme/medical, yahma/alpaca-cleaned that loads is taken, and an error leads to other "
                    "data without a word to the caller; name one dataset, and let its error end the run",
                ),
            ),
        ),
        Example(
            script=_TRY + "except Exception:\n    data = None\n"
            'if data is None:\n    data = load_dataset("stanfordnlp/imdb")\n',
            findings=((7, f"stanfordnlp/imdb takes the place of acme/legal-questions {_END}"),),
            why="The handler leaves a mark, and the substitute comes later.",
        ),
    )


def _differ(asked: list[DataLoad], instead: DataLoad) -> bool:
    """Whether a source is certainly other data than all that were asked for."""
    if instead.kind == "made-up":
        return all(load.kind != "made-up" for load in asked)
    if instead.kind != "hub" or not instead.names:
        return False
    return all(
        load.kind == "hub" and load.names and not any(same_thing(a, b) for a in load.names for b in instead.names)
        for load in asked
    )


def _in_handlers(script: ScriptFacts) -> Iterator[tuple[DataLoad, DataLoad]]:
    for handler in script.handlers:
        asked = _asked(script, handler)
        if asked and script.resolver.is_live(handler.block) and goes_on(script, handler):
            for load in data_loads(script, consequences(handler)):
                if _differ(asked, load):
                    yield asked[0], load


def _asked(script: ScriptFacts, handler: Handler) -> list[DataLoad]:
    if not catches_failures(script, handler):
        return []
    return list(data_loads(script, handler.statement.body))


def _after_or(script: ScriptFacts) -> Iterator[tuple[DataLoad, DataLoad]]:
    if " or " not in script.text:
        return
    for node in ast.walk(script.syntax.tree):
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            asked = [load for value in node.values[:-1] for load in data_loads(script, [value])]
            if not asked and isinstance(node.values[0], ast.Name):
                asked = _loads_of_name(script, node.values[0], node)
            for load in data_loads(script, node.values[-1:]) if asked else ():
                if _differ(asked, load):
                    yield asked[0], load


def _loads_of_name(script: ScriptFacts, name: ast.Name, within: ast.AST) -> list[DataLoad]:
    found: list[DataLoad] = []
    for scope in script.structure.scopes.values():
        for binding in scope.bindings.get(name.id, ()):
            if binding.value is not None and binding.value is not within:
                found.extend(data_loads(script, [binding.value]))
    return found


# -- `if data is None:`, `if len(data) == 0:` ----------------------------------------


def _in_conditions(script: ScriptFacts) -> Iterator[tuple[DataLoad, DataLoad]]:
    for scope in script.structure.scopes.values():
        for name, bindings in scope.bindings.items():
            if len(bindings) > 1:
                for binding in bindings:
                    yield from _for_binding(script, name, binding, bindings)


def _for_binding(
    script: ScriptFacts, name: str, binding: Binding, bindings: list[Binding]
) -> Iterator[tuple[DataLoad, DataLoad]]:
    """Whether a name is given other data in a branch that is taken when it has none."""
    if binding.value is None or binding.block.kind not in ("if", "else") or not script.resolver.is_live(binding.block):
        return
    test = binding.block.owner.test if isinstance(binding.block.owner, ast.If) else None
    if test is None:
        return
    others = [b for b in bindings if b is not binding and b.value is not None]
    if _tests_existence(test):
        others = [b for b in others if b.block.owner is binding.block.owner and b.block is not binding.block]
        asked = _loads(script, others)
        wanted = [load for load in data_loads(script, [binding.value]) if load.kind == "made-up"]
    elif binding.block.kind == "if" and _tests_missing(test, name):
        before = [b for b in others if b.position < binding.position]
        if _is_left_out_by_choice(before):
            return
        asked = _loads(script, before)
        wanted = list(data_loads(script, [binding.value]))
    else:
        return
    for load in wanted if asked else ():
        if _differ(asked, load):
            yield asked[0], load


def _loads(script: ScriptFacts, bindings: list[Binding]) -> list[DataLoad]:
    return [load for b in bindings if b.value is not None for load in data_loads(script, [b.value])]


def _is_left_out_by_choice(bindings: list[Binding]) -> bool:
    """Whether the name was None from the start and is given data in a branch: an option, no failure."""
    starts_empty = any(_is_none(b.value) and not _stands_in(b.block, "handler") for b in bindings)
    return starts_empty and any(not _is_none(b.value) and _stands_in(b.block, "if", "else", "case") for b in bindings)


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _stands_in(block: Block, *kinds: str) -> bool:
    return any(around.kind in kinds for around in block.ancestors())


def _tests_missing(test: ast.expr, name: str) -> bool:
    """`name is None`, `not name`, `len(name) == 0`, `name.num_rows < 10`, alone or joined by `or`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return all(_tests_missing(part, name) for part in test.values)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _is_or_measures(test.operand, name)
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return False
    right = test.comparators[0]
    if isinstance(test.ops[0], ast.Is | ast.Eq) and isinstance(right, ast.Constant) and right.value in (None, 0):
        return _is_or_measures(test.left, name)
    return (
        isinstance(test.ops[0], ast.Lt | ast.LtE)
        and _is_or_measures(test.left, name)
        and not isinstance(test.left, ast.Name)
    )


def _is_or_measures(node: ast.expr, name: str) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len" and node.args:
        node = node.args[0]
    elif isinstance(node, ast.Attribute) and node.attr in ("num_rows", "empty"):
        node = node.value
    return isinstance(node, ast.Name) and node.id == name


def _tests_existence(test: ast.expr) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr in _EXISTENCE_TESTS for n in ast.walk(test))


# -- a list of candidates --------------------------------------------------------------


def _candidates(script: ScriptFacts) -> Iterator[tuple[list[str], DataLoad]]:
    """Loops over names of datasets that take the first one that loads."""
    for handler in script.handlers:
        loop = next((b for b in handler.block.ancestors() if b.kind == "loop"), None)
        if loop is None or not isinstance(loop.owner, ast.For) or not script.resolver.is_live(loop):
            continue
        if "fails" in endings(script, handler.node.body, handler.block) or not _stops_at_first(handler, loop.owner):
            continue
        for load in _asked(script, handler):
            names = _names_of_loop(script, loop, loop.owner, load)
            if len(names) > 1 and not all(same_thing(names[0], each) for each in names[1:]):
                yield names, load


def _stops_at_first(handler: Handler, loop: ast.For) -> bool:
    later = [s for s in loop.body if s.lineno > (handler.statement.end_lineno or 0)]
    taken = [*handler.statement.body, *handler.statement.orelse, *later]
    return any(isinstance(node, ast.Break | ast.Return) for statement in taken for node in ast.walk(statement))


def _names_of_loop(script: ScriptFacts, block: Block, loop: ast.For, load: DataLoad) -> list[str]:
    path = load.call.node.args[0] if load.call.node.args else None
    if not isinstance(path, ast.Name) or load.kind == "made-up":
        return []
    whole = script.resolver.evaluate(loop.iter, block.parent or block)
    if not isinstance(whole, Items) or not whole.complete:
        return []
    if isinstance(loop.target, ast.Name) and loop.target.id == path.id:
        return _names(list(whole.items))
    if isinstance(loop.target, ast.Tuple):
        targets = [element.id if isinstance(element, ast.Name) else "" for element in loop.target.elts]
        if path.id in targets:
            index = targets.index(path.id)
            rows = [item for item in whole.items if isinstance(item, Items) and len(item.items) > index]
            return _names([row.items[index] for row in rows]) if len(rows) == len(whole.items) else []
    return []


def _names(values: list[Value]) -> list[str]:
    names = [o.value for v in values for o in options(v) if isinstance(o, Constant) and not is_none(o)]
    return [name for name in names if isinstance(name, str)] if len(names) == len(values) else []
