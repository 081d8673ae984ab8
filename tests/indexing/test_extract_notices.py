"""What is read of the values that a release accepts and of its notices."""

from __future__ import annotations

import pytest
from tests.indexing.extracting import choices, notices, one, read


class TestChoices:
    def test_literals(self):
        text = """
            Mode = Literal["a", "b"]
            def f(a: Literal["x", "y"] = "x", b: "Mode | None" = None, c: str | Literal["x"] = "x", d: Mode = "c"): ...
        """
        assert choices(one(text, "f")) == {"a": ("x", "y"), "b": ("a", "b", None), "d": ("a", "b", "c")}

    def test_an_enum_counts_where_the_value_is_converted(self):
        interface = read(
            {
                "lib": "",
                "lib.e": "from enum import Enum\nclass E(str, Enum):\n  A = 'a'\n  B = 'b'",
                "lib.m": """
                    from .e import E
                    @dataclass
                    class C:
                        x: E | str = "a"
                        y: E | str = "a"
                        z: E | str | None = None
                        w: E | str = "a"
                        v: E | str = "a"
                        def __post_init__(self):
                            if self.x == "old":
                                self.x = "a"
                            self.x = E(self.x)
                            if self.z is not None:
                                self.z = E(self.z)
                            if self.x == "a" or self.w is not None:
                                pass
                            if isinstance(self.v, OldE):
                                self.v = self.v.value
                            if self.z is not None:
                                self.v = self.z
                            self.v = E(self.v)
                            self.w = self.w.lower()
                            self.w = E(self.w)
                """,
            }
        )
        assert choices(interface.definitions["lib.m.C"]) == {
            "x": ("a", "b", "old"),
            "z": ("a", "b", None),
            "v": ("a", "b"),
        }

    def test_checks(self):
        text = """
            MODES = ("m", "n")
            @dataclass
            class C:
                a: str = "x"
                b: str = None
                c: str = "m"
                d: str = "x"
                e: str = "x"
                def __post_init__(self):
                    if self.a not in ["x", "y"]:
                        raise ValueError
                    if self.b is not None and self.b not in ("x", "y"):
                        raise ValueError
                    if self.c not in MODES:
                        raise ValueError
                    if self.d == "x":
                        pass
                    elif self.d in ("y", "z"):
                        pass
                    else:
                        raise ValueError
                    if self.a == "x":
                        if self.e not in ("x", "y"):
                            raise ValueError
        """
        assert choices(one(text, "C")) == {
            "a": ("x", "y"),
            "b": ("x", "y", None),
            "c": ("m", "n"),
            "d": ("x", "y", "z"),
        }

    def test_help_for_a_parser(self):
        text = """
            @dataclass
            class C:
                a: str = field(default="x", metadata={"help": "…", "choices": ["x", "y"]})
        """
        assert choices(one(text, "C")) == {"a": ("x", "y")}


class TestDeprecations:
    def test_an_attribute_that_is_handed_on(self):
        text = """
            @dataclass
            class C:
                old: str = None
                new: str = "x"
                other: bool = False
                fine: bool = True
                def __post_init__(self):
                    if self.old is not None:
                        warnings.warn("`old` is deprecated and will be removed in version 5.0 of X. Use `new` instead",
                                      FutureWarning)
                        self.new = self.old
                    if self.other:
                        warnings.warn("using `other` is deprecated, use `newer` instead", FutureWarning)
                    if self.fine:
                        warnings.warn("`fine` is deprecated", FutureWarning)
                    if self.new == "x":
                        warnings.warn("`new='x'` is deprecated", FutureWarning)
        """
        assert notices(one(text, "C")) == {"old": ("new", True, "5.0", True), "other": ("newer", False, "", True)}

    def test_a_loop_over_pairs(self):
        # transformers 5.23, training_args.py
        text = """
            @dataclass
            class C:
                old: str = None
                new: str = None
                def __post_init__(self):
                    for old, new in (("old", "new"),):
                        if getattr(self, new) is None and getattr(self, old) is not None:
                            warnings.warn(f"`{old}` is deprecated and will be removed in v6. Use `{new}` instead.")
                            setattr(self, new, getattr(self, old))
        """
        assert notices(one(text, "C")) == {"old": ("new", True, "6", True)}

    def test_a_keyword_that_is_taken(self):
        text = """
            def f(token=None, **kwargs):
                use_auth_token = kwargs.pop("use_auth_token", None)
                if use_auth_token is not None:
                    warnings.warn("The `use_auth_token` argument is deprecated and will be removed in v5 of X.")
                    token = use_auth_token
                if "model_path" in kwargs:
                    resume = kwargs.pop("model_path")
                    warnings.warn("`model_path` is deprecated. Use `resume_from_checkpoint` instead.")
                if "gone" in kwargs:
                    raise ValueError("`gone` has been removed.")
        """
        assert notices(one(text, "f")) == {
            "use_auth_token": ("token", True, "5", True),
            "model_path": ("resume_from_checkpoint", False, "", True),
            "gone": ("", False, "", False),
        }

    def test_decorators(self):
        text = """
            class T:
                @_deprecate_arguments(version="0.13.0", deprecated_args=["packing"], custom_message="Use the config.")
                @deprecate_kwarg("tokenizer", new_name="processing_class", version="0.16.0", raise_if_both_names=True)
                def __init__(self, model, processing_class, packing=None): ...
        """
        assert notices(one(text, "T.__init__")) == {
            "packing": ("", False, "0.13.0", True),
            "tokenizer": ("processing_class", True, "0.16.0", True),
        }

    @pytest.mark.parametrize(("version", "accepted"), [("4.9.0", True), ("5.0.0", False)])
    def test_a_decorator_that_raises_from_a_release_on(self, version, accepted):
        text = """
            @deprecate_kwarg("old", version="5.0.0", raise_if_greater_or_equal_version=True)
            def f(x): ...
        """
        definitions = read({"transformers": text}, library="transformers", version=version).definitions
        assert definitions["transformers.f"].deprecations[0].accepted is accepted

    def test_help(self):
        text = """
            @dataclass
            class C:
                a: str = field(default=None, metadata={"help": "Deprecated, the use of `--b` is preferred."})
                b: str = field(default=None, metadata={"help": "Not deprecated."})
        """
        assert notices(one(text, "C")) == {"a": ("b", False, "", True)}

    def test_the_release_that_a_notice_names_is_that_of_the_removal(self):
        text = """
            def f(a=None):
                if a is not None:
                    warnings.warn("`a` was deprecated in 2.4.0 and will be removed in version 3.0.0.")
        """
        assert notices(one(text, "f"))["a"][2] == "3.0.0"
