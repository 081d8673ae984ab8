"""Random small programs: assignments, branches, loops, handlers, functions, dicts, lists and objects in any order."""

from __future__ import annotations

import random

from tests.facts.soundness import GIVEN

_HEAD = f"""{GIVEN}from contextlib import suppress
a = 1; b = None; c = "x"; d = 0
o = {{"k": 1}}; p = {{}}
q = Thing(x=1, y=2); t = Thing(x=3, y=None)
u = [1]; v = []
"""
_DEEPEST = 3


class Writer:
    """Writes one program from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lines: list[str] = []
        self._functions: list[tuple[str, int]] = []
        self._count = self._depth = self._loops = 0
        self._in_function = False

    def program(self) -> str:
        pick = self._random.choice
        stored = pick(["self.x = x", "self.x = x or 5", "self.y = z; self.x = 1"])
        done = pick(["show(self.x)", "self.x = 4; show(self.x)", "if self.x: show(self.y)"])
        self._class = f"class C:\n    y = 7\n    def __init__(self, x=None, z=2):\n        {stored}\n"
        self._class += f"    def go(self):\n        {done}\n        show(self.x)\n"
        for _ in range(self._random.randint(4, 10)):
            self._statement(0)
        return _HEAD + self._class + "\n".join(self._lines) + "\n"

    # -- expressions -----------------------------------------------------------

    def _name(self) -> str:
        return self._random.choice("abcd")

    def _constant(self) -> str:
        self._count += 1
        return self._random.choice([str(self._count), repr(f"s{self._count}"), "None", "True", "False"])

    def _expression(self, depth: int = 0) -> str:
        forms = ["constant", "name", "name", "entry", "attribute"]
        forms += ["if", "or", "and", "call"] if depth < 2 else []
        form = self._random.choice(forms)
        if form == "name":
            return self._name()
        if form == "entry":
            return f"{self._random.choice('op')}.get({self._random.choice('km')!r})"
        if form == "attribute":
            return f"{self._random.choice('qt')}.{self._random.choice('xy')}"
        if form == "if":
            return f"({self._expression(depth + 1)} if {self._condition()} else {self._expression(depth + 1)})"
        if form in ("or", "and"):
            return f"({self._expression(depth + 1)} {form} {self._expression(depth + 1)})"
        if form == "call" and self._functions:
            return self._call(2)
        return self._constant()

    def _call(self, depth: int) -> str:
        name, parameters = self._random.choice(self._functions)
        return f"{name}({', '.join(self._expression(depth) for _ in range(parameters))})"

    def _condition(self) -> str:
        name = self._name()
        simple = ["cond()", "cond()", "cond()", name, f"{name} is None", f"not {name}", '"k" in o', "q.x", "t.y"]
        return self._random.choice([*simple, f"{name} == {self._constant()}"])

    # -- statements ------------------------------------------------------------

    def _write(self, indent: int, line: str) -> None:
        self._lines.append("    " * indent + line)

    def _block(self, indent: int) -> None:
        self._depth += 1
        for _ in range(self._random.randint(1, 3)):
            self._statement(indent)
        self._depth -= 1

    def _statement(self, indent: int) -> None:
        compound = [self._if, self._if, self._loop, self._try, self._with, self._function]
        simple = [self._assignment, self._show, self._dict, self._object, self._list, self._leave]
        deep = self._depth >= _DEEPEST
        self._random.choice(simple * 2 if deep else [*simple, *simple, *compound])(indent)

    def _assignment(self, indent: int) -> None:
        if self._random.random() < 0.25:
            self._write(indent, f"{self._name()}, {self._name()} = {self._expression()}, {self._expression()}")
        else:
            self._write(indent, f"{self._name()} = {self._expression()}")

    def _show(self, indent: int) -> None:
        self._write(indent, f"show({self._random.choice([self._expression(), self._name(), self._name()])})")

    def _dict(self, indent: int) -> None:
        name, key, value = self._random.choice("op"), self._random.choice("km"), self._expression()
        changes = [f'{name}["{key}"] = {value}', f"{name}.update({key}={value})", f'{name}.pop("{key}", None)']
        changes += [f'{name}.setdefault("m", {value})', f"{name} = dict({name}, m={value})", "o = p", "p = o"]
        changes += [
            f"mutate({name})",
            f"show({name})",
            f'{name} = {{**{name}, "k": {value}}}',
            f'show({name}.get("k"))',
        ]
        self._write(indent, self._random.choice(changes))

    def _object(self, indent: int) -> None:
        name, value = self._random.choice("qt"), self._expression()
        changes = [f"{name}.x = {value}", f"{name} = Thing(x={value}, y={self._expression()})", f"show({name}.x)"]
        changes += [f"show({name}.y)", "q = t", "t = q", f"{name} = C({value})", f"{name}.go()"]
        self._write(indent, self._random.choice([*changes, f'setattr({name}, "y", {value})']))

    def _list(self, indent: int) -> None:
        name, value = self._random.choice("uv"), self._expression()
        changes = [f"{name} = [{value}]", f"{name}.append({value})", f"show({name})", "u = v", f"{name} += [{value}]"]
        changes += [f"if {name}: show({name})", f"{name}.clear()", f"{name}.insert(0, 1)", f"mutate({name})"]
        changes += [f"{name} = {name} + [1]", f"for {self._name()} in {name}: show({name})"]
        self._write(indent, self._random.choice(changes))

    def _leave(self, indent: int) -> None:
        if self._in_function and self._random.random() < 0.5:
            self._write(indent, "return " + self._expression())
        elif self._loops:
            self._write(indent, self._random.choice(["break", "continue"]))
        elif self._functions and self._random.random() < 0.6:
            self._write(indent, self._call(0))
        elif self._depth:
            self._write(indent, "ignore(1 / int(cond()))")
        else:
            self._write(indent, f"if {self._condition()}: raise SystemExit")

    def _if(self, indent: int) -> None:
        self._write(indent, f"if {self._condition()}:")
        self._block(indent + 1)
        if self._random.random() < 0.3:
            self._write(indent, f"elif {self._condition()}:")
            self._block(indent + 1)
        if self._random.random() < 0.5:
            self._write(indent, "else:")
            self._block(indent + 1)

    def _loop(self, indent: int) -> None:
        over = f"for {self._name()} in [{self._constant()}, {self._constant()}]:"
        self._write(indent, self._random.choice([over, "for i in range(2):", "while cond():"]))
        self._loops += 1
        self._block(indent + 1)
        self._loops -= 1
        if self._random.random() < 0.25:
            self._write(indent, "else:")
            self._block(indent + 1)

    def _try(self, indent: int) -> None:
        self._write(indent, "try:")
        self._block(indent + 1)
        if self._random.random() < 0.85:
            self._write(indent, "except Exception:")
            self._block(indent + 1)
            if self._random.random() < 0.3:
                self._write(indent, "else:")
                self._block(indent + 1)
            if self._random.random() > 0.25:
                return
        self._write(indent, "finally:")
        kept = self._in_function, self._loops
        self._in_function, self._loops = False, 0  # leaving by `finally` is warned of by newer Pythons
        self._block(indent + 1)
        self._in_function, self._loops = kept

    def _with(self, indent: int) -> None:
        self._write(indent, self._random.choice(["with suppress(Exception):", "with suppress(KeyError) as e:"]))
        self._block(indent + 1)

    def _function(self, indent: int) -> None:
        if len(self._functions) > 3:
            return self._show(indent)
        self._count += 1
        name, parameters = f"f{self._count}", self._random.sample("abcd", self._random.randint(0, 2))
        self._write(indent, f"def {name}({', '.join(parameters)}):")
        free = self._random.choice([n for n in "abcd" if n not in parameters])
        self._write(
            indent + 1, self._random.choice([f"{free} = 0", f"{free} = 0", f"global {free}, o", f"global {free}, q"])
        )
        kept = self._in_function, self._loops, self._depth
        self._in_function, self._loops, self._depth = True, 0, max(1, self._depth)
        self._block(indent + 1)
        self._in_function, self._loops, self._depth = kept
        self._functions.append((name, len(parameters)))
        return None
