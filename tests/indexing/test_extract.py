"""What is read of a library's source, on small libraries in the manner of the real ones."""

from __future__ import annotations

import pytest
from tests.indexing.extracting import names, one, read

from trainguard.indexing.cache import FileCache
from trainguard.libraries.api.records import (
    Function,
    Module,
)


class TestNames:
    def test_imports_are_followed_to_the_definition(self):
        interface = read(
            {
                "lib": "from .a import Thing as Other\nimport os.path\nfrom torch import nn",
                "lib.a": "from .b import Thing",
                "lib.b": "class Thing: ...",
            }
        )
        assert names(interface, "lib") == {
            "Other": "lib.b.Thing",
            "os": "os",
            "nn": "torch.nn",
            "a": "",
            "b": "",
        }

    def test_stars_bring_what_all_says_or_what_is_public(self):
        interface = read(
            {
                "lib": "from .a import *\nfrom .b import *",
                "lib.a": "__all__ = ['x']\nx = 1\ny = 2",
                "lib.b": "z = 1\n_w = 2",
            }
        )
        assert set(names(interface, "lib")) == {"x", "z", "a", "b"}

    def test_a_star_of_another_library_leaves_names_open(self):
        interface = read({"lib": "from .a import *", "lib.a": "from torch import *"})
        assert interface.definitions["lib"].getattr
        assert interface.definitions["lib.a"].getattr

    def test_conditions(self):
        interface = read(
            {
                "lib": """
                    from typing import TYPE_CHECKING
                    try:
                        from a import X
                    except ImportError:
                        X = None
                    if TYPE_CHECKING:
                        from b import Y
                    if has_torch():
                        class Z(Base): ...
                    else:
                        Z = object
                """
            }
        )
        assert names(interface, "lib") == {"TYPE_CHECKING": "typing.TYPE_CHECKING", "X": "a.X", "Y": "b.Y", "Z": ""}

    def test_a_table_of_lists(self):
        interface = read(
            {
                "lib": """
                    from .utils import OptionalDependencyNotAvailable, _LazyModule
                    _import_structure = {"a": ["A"], "b": []}
                    try:
                        if not is_torch_available():
                            raise OptionalDependencyNotAvailable()
                    except OptionalDependencyNotAvailable:
                        _import_structure["utils.dummy_pt_objects"] = ["C"]
                    else:
                        _import_structure["a"].append("B")
                        _import_structure["b"].extend(["C"])
                        _import_structure["b"] += ["D"]
                        _import_structure.setdefault("c", []).extend(["E"])
                    if TYPE_CHECKING:
                        from .a import A
                    else:
                        import sys
                        sys.modules[__name__] = _LazyModule(__name__, globals()["__file__"], _import_structure)
                """,
                "lib.utils": "",
                "lib.a": "class A: ...\nclass B: ...",
                "lib.b": "from .c import C\nclass D: ...",
                "lib.c": "class C: ...\nclass E: ...",
                "lib.utils.dummy_pt_objects": "class C(metaclass=DummyObject): ...",
            }
        )
        found = names(interface, "lib")
        assert {name: found[name] for name in "ABCDE"} == {
            "A": "lib.a.A",
            "B": "lib.a.B",
            "C": "lib.c.C",
            "D": "lib.b.D",
            "E": "lib.c.E",
        }
        assert interface.definitions["lib.utils.dummy_pt_objects"] == Module(getattr=True)

    def test_a_structure_of_what_modules_export(self):
        interface = read(
            {
                "transformers": """
                    import_structure = define_import_structure(Path(__file__).parent / "models", prefix="models")
                    sys.modules[__name__] = _LazyModule(__name__, file, import_structure)
                """,
                "transformers.models": "",
                "transformers.models.llama": "",
                "transformers.models.llama.modeling_llama": """
                    class LlamaAttention: ...
                    class LlamaModel:
                        def forward(self, input_ids): ...
                        def _helper(self): ...
                    @requires(backends=("torch",))
                    class Extra: ...
                    __all__ = ["LlamaModel"]
                """,
            },
            library="transformers",
        )
        found = names(interface, "transformers")
        module = "transformers.models.llama.modeling_llama"
        assert found["LlamaModel"] == f"{module}.LlamaModel"
        assert found["Extra"] == f"{module}.Extra"
        assert "LlamaAttention" not in found
        # What is private in a model is known to be there, and no more.
        assert interface.definitions[f"{module}.LlamaAttention"].kind == "opaque"
        assert f"{module}.LlamaModel.forward" in interface.definitions
        assert f"{module}.LlamaModel._helper" not in interface.definitions
        assert "_helper" in interface.definitions[f"{module}.LlamaModel"].members

    def test_a_star_that_leads_nowhere_is_nothing_beside_a_structure(self):
        star = """
            if TYPE_CHECKING:
                from configuration_lib import *
            {}
        """
        lazy = "sys.modules[__name__] = _LazyModule(__name__, file, define_import_structure(file))"
        assert read({"lib": star.format(lazy), "lib.a": ""}).definitions["lib"].getattr is False
        assert read({"lib": star.format("pass"), "lib.a": ""}).definitions["lib"].getattr is True

    def test_a_module_below_comes_before_one_that_a_star_brings(self):
        interface = read(
            {"lib": "from .utils import *", "lib.hub": "", "lib.utils": "", "lib.utils.hub": "", "lib.utils.b": "x = 1"}
        )
        assert names(interface, "lib")["hub"] == ""
        assert names(interface, "lib")["b"] == "lib.utils.b"

    def test_names_on_demand(self):
        interface = read(
            {
                "lib": """
                    _SUBMOD_ATTRS = {"a": ["A"], "b._c": ["C"]}
                    __getattr__, __dir__, __all__ = _attach(__name__, submodules=[], submod_attrs=_SUBMOD_ATTRS)
                """,
                "lib.a": "class A: ...",
                "lib.b": "",
                "lib.b._c": "def C(): ...",
            }
        )
        assert {"A": "lib.a.A", "C": "lib.b._c.C"}.items() <= names(interface, "lib").items()
        assert not interface.definitions["lib"].getattr

    @pytest.mark.parametrize(
        ("body", "made_up"),
        [
            ("if name in ('X', 'Y'):\n  return 1\n raise AttributeError(name)", False),
            ("if name == 'X':\n  return 1\n raise AttributeError(name)", False),
            ("return getattr(other, name)", True),
            ("if name.startswith('is_'):\n  return 1\n raise AttributeError(name)", True),
        ],
    )
    def test_getattr_of_a_module(self, body, made_up):
        interface = read({"lib": f"def __getattr__(name):\n {body}"})
        assert interface.definitions["lib"].getattr is made_up
        assert ("X" in names(interface, "lib")) is not made_up

    def test_text_that_cannot_be_parsed(self):
        assert read({"lib": "def ("}).definitions["lib"] == Module(getattr=True)

    def test_second_names(self):
        interface = read({"lib": "from .a import A\nB = A\nC = B", "lib.a": "class A: ..."})
        assert names(interface, "lib")["C"] == "lib.a.A"


class TestFunctions:
    def test_parameters(self):
        function = one("def f(a, /, b: int = -1, *args, c: str = 'x', **kwargs): ...", "f")
        assert [(one.name, one.kind, one.default, one.annotation) for one in function.parameters] == [
            ("a", 0, None, None),
            ("b", 1, "-1", "int"),
            ("args", 2, None, None),
            ("c", 3, "'x'", "str"),
            ("kwargs", 4, None, None),
        ]

    @pytest.mark.parametrize(
        ("decorator", "dynamic"),
        [
            ("@functools.lru_cache(maxsize=1)", False),
            ("@torch.no_grad()", False),
            ("@keeps", False),
            ("@keeps_with(1)", False),
            ("@gives_back", False),
            ("@changes", True),
            ("@elsewhere", True),
            ("@manager()", False),
        ],
    )
    def test_decorators(self, decorator, dynamic):
        function = one(
            f"""
            import functools, torch
            from other import elsewhere
            from contextlib import contextmanager

            def keeps(func):
                @functools.wraps(func)
                def wrapper(*args, **kwargs):
                    return func(*args, **kwargs)
                return wrapper

            def keeps_with(x):
                def decorator(func):
                    @functools.wraps(func)
                    def wrapper(*args, **kwargs):
                        return func(*args, **kwargs)
                    return wrapper
                return decorator

            def gives_back(func):
                func.marked = True
                return func

            def changes(func):
                def wrapper(*args, **kwargs):
                    return func(*args, **kwargs)
                return wrapper

            @contextmanager
            def manager():
                yield

            {decorator}
            def f(a): ...
            """,
            "f",
        )
        assert function.dynamic is dynamic

    def test_a_wrapper_that_takes_a_keyword(self):
        text = """
            def can_return_tuple(func):
                @wraps(func)
                def wrapper(self, *args, **kwargs):
                    return_dict = kwargs.pop("return_dict", None)
                    return func(self, *args, **kwargs)
                return wrapper

            class Model:
                @can_return_tuple
                def forward(self, x): ...
        """
        assert one(text, "Model.forward").taken == ("return_dict",)

    def test_wraps_of_another_function(self):
        text = """
            from functools import wraps
            def other(a, b=1): ...
            @wraps(other)
            def f(*args, **kwargs): ...
        """
        assert [parameter.name for parameter in one(text, "f").parameters] == ["a", "b"]

    def test_kinds_of_methods(self):
        text = """
            class A:
                @classmethod
                def a(cls): ...
                @staticmethod
                def b(): ...
                @property
                def c(self): ...
                @c.setter
                def c(self, value): ...
                @overload
                def d(self, x): ...
                def d(self, x, y): ...
                e = d
        """
        definitions = read({"lib": "", "lib.m": text}).definitions
        kinds = {name: definitions[f"lib.m.A.{name}"].kind for name in "abcde"}
        assert kinds == {"a": "classmethod", "b": "staticmethod", "c": "property", "d": "method", "e": "method"}
        assert len(definitions["lib.m.A.e"].parameters) == 3

    def test_a_method_that_decorates_the_next(self):
        text = """
            class A:
                def on_main(self, function): ...
                @on_main
                def log(self, values): ...
        """
        assert one(text, "A.log").dynamic

    def test_methods_of_an_object_of_the_module(self):
        interface = read(
            {
                "lib": "from .m import create, token",
                "lib.m": """
                    class Base:
                        def create(self, name, *, token=None): ...
                    class Api(Base): ...
                    api = Api()
                    create = api.create
                    token = api.token
                """,
            }
        )
        assert names(interface, "lib") == {"create": "lib.m.create", "token": "lib.m.token", "m": ""}
        assert [one.name for one in interface.definitions["lib.m.create"].parameters] == ["name", "token"]
        assert "lib.m.token" not in interface.definitions

    def test_two_definitions_that_differ(self):
        assert one("if x:\n  def f(a): ...\nelse:\n  def f(b): ...", "f").dynamic
        assert not one("if x:\n  def f(a): ...\nelse:\n  def f(a): ...", "f").dynamic


class TestKeywords:
    def keywords(self, body, head="def f(self, **kwargs):"):
        text = f"from other import g\nclass A:\n    {head}\n" + "".join(
            f"        {line}\n" for line in body.split("\n")
        )
        return one(text, "A.f")

    def test_taken_and_handed_on(self):
        function = self.keywords(
            "a = kwargs.pop('a', None)\nb = kwargs['b']\nif 'c' in kwargs: pass\n"
            "kwargs.setdefault('d', 1)\nsuper().f(**kwargs)\nself.g(**kwargs)\ng(**kwargs)\nmissing.h(**kwargs)"
        )
        assert function.taken == ("a", "b")
        assert function.forwards == ("super.f", "self.g", "other.g", "?")

    @pytest.mark.parametrize(
        "body", ["self.x = kwargs", "g(kwargs)", "for k, v in kwargs.items(): pass", "kwargs[name] = kwargs.pop(name)"]
    )
    def test_what_cannot_be_told(self, body):
        assert "?" in self.keywords(body).forwards

    @pytest.mark.parametrize(
        "body",
        [
            "if kwargs: raise TypeError(f'{kwargs}')",
            "if len(kwargs) > 0: raise TypeError(f\"unexpected: {', '.join(list(kwargs.keys()))}.\")",
        ],
    )
    def test_the_rest_is_refused(self, body):
        function = self.keywords(body)
        assert function.refuses_rest
        assert function.forwards == ()

    def test_the_own_constructor(self):
        function = self.keywords("return cls(**kwargs)", "@classmethod\n    def f(cls, **kwargs):")
        assert function.forwards == ("cls.",)

    def test_an_import_of_its_own(self):
        function = self.keywords("from . import tools\ntools.make(**kwargs)")
        assert function.forwards == ("lib.tools.make",)


def test_a_cache_gives_the_same(tmp_path):
    modules = {"lib": "from .m import f", "lib.m": "def f(a, b: int = 1, **kwargs): g(**kwargs)"}
    cache = FileCache(tmp_path / "records.db")
    first, second = read(modules, cache=cache), read(modules, cache=cache)
    cache.close()
    assert first == second == read(modules)
    assert isinstance(first.definitions["lib.m.f"], Function)
