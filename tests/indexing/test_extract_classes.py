"""What is read of classes: fields, members, bases, enums."""

from __future__ import annotations

from tests.indexing.extracting import one, read

from trainguard.libraries.api.records import KEYWORD_ONLY, NOT_TAKEN, POSITIONAL_OR_KEYWORD, VAR_KEYWORD, Class


class TestClasses:
    def test_fields_as_the_constructor_takes_them(self):
        text = """
            @dataclass
            class A:
                a: int
                b: str = "x"
                c: list = field(default_factory=list)
                d: ClassVar[int] = 1
                e: int = field(default=2, init=False)
                f: int = field(default=3, kw_only=True)
                _: KW_ONLY
                g: int = 4
                h = 5
        """
        class_ = one(text, "A")
        assert class_.kind == "dataclass"
        assert [(one.name, one.kind, one.default) for one in class_.fields] == [
            ("a", POSITIONAL_OR_KEYWORD, None),
            ("b", POSITIONAL_OR_KEYWORD, "'x'"),
            ("c", POSITIONAL_OR_KEYWORD, "list()"),
            ("e", NOT_TAKEN, None),
            ("f", KEYWORD_ONLY, "3"),
            ("g", KEYWORD_ONLY, "4"),
        ]
        assert {"d", "e", "h"} <= set(class_.members)

    def test_subclasses_that_their_parent_makes_dataclasses(self):
        text = """
            @strict(accept_kwargs=True)
            @dataclass(repr=False)
            class Config:
                a: int = 1
                def __init_subclass__(cls, *args, **kwargs):
                    super().__init_subclass__(*args, **kwargs)
                    cls = dataclass(cls, repr=False, kw_only=True)
                def __post_init__(self, **kwargs): ...
            class Llama(Config):
                b: int = 2
        """
        definitions = read({"lib": "", "lib.m": text}).definitions
        llama = definitions["lib.m.Llama"]
        assert (llama.kind, llama.kw_only, llama.bases) == ("dataclass", True, ("lib.m.Config",))
        assert [(one.name, one.kind) for one in llama.fields] == [("b", KEYWORD_ONLY)]
        assert definitions["lib.m.Config.__post_init__"].parameters[-1].kind == VAR_KEYWORD
        assert "validate" in definitions["lib.m.Config"].members

    def test_a_decorator_of_the_library_that_makes_dataclasses(self):
        text = """
            def dataclass_with_extra(cls):
                cls = dataclass(cls, kw_only=True)
                return cls
            @dataclass_with_extra
            class A:
                a: int
        """
        assert [(one.name, one.kind) for one in one_class(text).fields] == [("a", KEYWORD_ONLY)]

    def test_values_of_an_enum(self):
        text = """
            from enum import Enum
            class ExplicitEnum(str, Enum):
                @classmethod
                def _missing_(cls, value):
                    raise ValueError(value)
            class A(ExplicitEnum):
                ONE = "one"
                TWO = "two"
        """
        class_ = one(text, "A")
        assert (class_.kind, class_.values) == ("enum", (("ONE", "one"), ("TWO", "two")))

    def test_members_and_made_up_attributes(self):
        text = """
            class A:
                x = 1
                def __init__(self):
                    self.y = 1
                    setattr(self, "z", 1)
            class B:
                def __init__(self, **kwargs):
                    for key, value in kwargs.items():
                        setattr(self, key, value)
            class C:
                def __init__(self):
                    for name in self._NAMES:
                        setattr(self, name, 1)
        """
        definitions = read({"lib": "", "lib.m": text}).definitions
        assert definitions["lib.m.A"].members == ("__init__", "x", "y", "z")
        assert not definitions["lib.m.A"].getattr
        assert definitions["lib.m.B"].getattr
        assert not definitions["lib.m.C"].getattr

    def test_methods_that_a_class_imports(self):
        definitions = read(
            {
                "lib": "",
                "lib.m": "class Trainer:\n  from .tools import log_metrics",
                "lib.tools": "def log_metrics(self, split, metrics): ...",
            }
        ).definitions
        assert definitions["lib.m.Trainer"].members == ("log_metrics",)
        method = definitions["lib.m.Trainer.log_metrics"]
        assert (method.kind, [one.name for one in method.parameters]) == ("method", ["self", "split", "metrics"])

    def test_bases(self):
        text = """
            from torch import nn
            class A(nn.Module, Generic[T], make(), dict): ...
        """
        assert one(text, "A").bases == ("torch.nn.Module", "?", "?", "builtins.dict")


def one_class(text):
    definition = one(text, "A")
    assert isinstance(definition, Class)
    return definition
