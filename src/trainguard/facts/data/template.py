"""Chat templates, rendered as transformers 5.23 renders them (utils/chat_template_utils.py), within limits.

A template is a program that came with a model, so it may be hostile. Jinja's sandbox keeps it from the interpreter;
nothing there keeps it from running for ever or from filling the memory. `Renderer` stops loops by an alarm and large
products by their operands, and is meant to run in the process that `limited.py` starts, which bounds all the rest.
"""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

# An honest template takes well under a millisecond a conversation; this is for one on a crowded machine.
RENDER_SECONDS = 3.0
# Bits of a number and items of a sequence that a product or a power may have. A conversation has far fewer.
MAX_BITS = 1 << 16
MAX_ITEMS = 1 << 24
MAX_DETAIL = 200
# transformers 5.23, chat_template_utils.py: _REASONING_FIELDS.
_REASONING = ("reasoning_content", "thinking", "reasoning")


class RefusedError(Exception):
    """The template does not take the conversation; its words are the argument. A trainer would stop at this row."""


class TemplateLimitError(BaseException):
    """The template takes more time or memory than an honest one. No Exception, so that nothing in Jinja keeps it."""


class MissingLibraryError(Exception):
    """Jinja2 is not installed."""


class Renderer:
    """Compiled templates of one tokenizer. Raises nothing when made; `problem` says why nothing can be rendered."""

    def __init__(self, templates: Mapping[str, str], special_tokens: Mapping[str, str]) -> None:
        self._special_tokens = dict(special_tokens)
        self._default: Any = None
        self._tool_use: Any = None
        self.problem: str | None = None
        self._tracker = _Tracker()
        self.marks_answers = False
        try:
            environment = _environment(self._tracker)
        except ImportError:
            self.problem = 'jinja2 is not installed (pip install "trainguard[data]")'
            return
        try:
            with _alarm():
                if len(templates) > 1 and "tool_use" in templates:
                    self._tool_use = environment.from_string(templates["tool_use"])
                if "default" in templates:
                    self._default = environment.from_string(templates["default"])
        except (TemplateLimitError, MemoryError, RecursionError):
            self.problem = "its chat template takes more time or memory to compile than a chat template needs"
        except Exception as error:
            self.problem = f"its chat template cannot be compiled: {_words(error)}"
        else:
            if self._default is None:
                self.problem = "it has no chat template"
            # `{% generation %}` tells where an answer begins; without it this is found by a second rendering.
            self.marks_answers = "generation" in templates.get("default", "") and self._tool_use is None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Any] | None = None,
        generation_prompt: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The text that a trainer tokenizes. Raises RefusedError, and TemplateLimitError when a limit is reached."""
        template = self._tool_use if tools is not None and self._tool_use is not None else self._default
        if template is None:
            raise RefusedError(self.problem or "it has no chat template")
        if not messages:
            raise RefusedError("an empty conversation")
        try:
            with _alarm():
                text: str = template.render(
                    **{
                        **self._special_tokens,
                        "messages": _prepared(messages),
                        "tools": tools,
                        "documents": None,
                        "add_generation_prompt": generation_prompt,
                        **(variables or {}),
                    }
                )
                return text
        except (MemoryError, RecursionError):
            raise TemplateLimitError("it needs more memory than a chat template needs") from None
        except Exception as error:
            raise RefusedError(_words(error)) from None

    def first_answer(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> int | None:
        """The character at which the first `{% generation %}` block begins, None where there is none."""
        starts: list[int] = []
        template = self._default
        if template is None or not self.marks_answers:
            return None
        context = {
            **self._special_tokens,
            "messages": _prepared(messages),
            "tools": options.get("tools"),
            "documents": None,
            "add_generation_prompt": False,
            **(options.get("variables") or {}),
        }
        try:
            with _alarm(), self._tracker.active(starts) as blocks:
                for block in template.generate(**context):
                    blocks.append(block)
                    if starts:
                        return starts[0]
        except (MemoryError, RecursionError):
            raise TemplateLimitError("it needs more memory than a chat template needs") from None
        except Exception:
            return None
        return starts[0] if starts else None


def _words(error: Exception) -> str:
    """What the template says; for an error of its own making, the kind of error as well."""
    text = " ".join(str(error).split())[:MAX_DETAIL]
    kind = type(error).__name__
    return text if kind == "TemplateError" and text else f"{kind}: {text}" if text else kind


def _prepared(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As apply_chat_template hands messages on: no key with null, and reasoning under each name that templates read."""
    prepared = []
    for message in messages:
        if not isinstance(message, Mapping):
            raise RefusedError(f"a message that is no object but {type(message).__name__}")
        each = {key: value for key, value in message.items() if value is not None}
        reasoning = next((each[key] for key in _REASONING if each.get(key) is not None), None)
        prepared.append(
            {"thinking": reasoning, **each, "reasoning_content": reasoning} if reasoning is not None else each
        )
    return prepared


class _Tracker:
    """Where `{% generation %}` blocks begin, while someone asks."""

    def __init__(self) -> None:
        self.blocks: list[str] | None = None
        self.starts: list[int] = []

    @contextmanager
    def active(self, starts: list[int]) -> Iterator[list[str]]:
        self.blocks, self.starts = [], starts
        try:
            yield self.blocks
        finally:
            self.blocks = None

    def enter(self) -> None:
        if self.blocks is not None:
            self.starts.append(sum(map(len, self.blocks)))


def _environment(tracker: _Tracker) -> jinja2.Environment:
    """The environment of `_cached_compile_jinja_template` in transformers 5.23, with limits on products."""
    from jinja2 import TemplateError, nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - Jinja reads it from the class

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

        def _support(self, caller: Callable[[], str]) -> str:
            # A block that is yielded whole begins where the text before it ends; a block inside a macro or another
            # block begins later than that, so that an answer is never taken to begin too late.
            text = caller()
            tracker.enter()
            return text

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _bound(operator, left, right)
            return super().call_binop(context, operator, left, right)

    class PlainNamespace(Namespace):
        def __init__(*args: Any, **kwargs: Any) -> None:
            self, args = args[0], args[1:]
            attributes = dict(*args, **kwargs)
            for name in attributes:
                PlainNamespace._check(name)
            Namespace.__init__(self, attributes)

        def __setitem__(self, name: str, value: Any) -> None:
            PlainNamespace._check(name)
            Namespace.__setitem__(self, name, value)

        @staticmethod
        def _check(name: object) -> None:
            if isinstance(name, str) and name.startswith("_"):
                raise SecurityError(f"a namespace with the attribute {name!r}")

    class PlainDict:
        def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict(*args, **kwargs)

        def fromkeys(self, *args: Any) -> dict[Any, Any]:
            return dict.fromkeys(*args)

    def raise_exception(message: object) -> None:
        raise TemplateError(str(message))

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(pattern: str) -> str:
        return datetime.now().strftime(pattern)  # noqa: DTZ005 - the local day, as the trainer writes it

    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    environment.globals["dict"] = PlainDict()
    environment.globals["namespace"] = PlainNamespace
    return environment


def _bound(operator: str, left: Any, right: Any) -> None:
    """Stops a product or power whose result is huge: it would be computed in C, where no alarm rings."""
    numbers = isinstance(left, int) and isinstance(right, int)
    if operator == "**":
        if numbers and abs(right) * max(1, left.bit_length()) > MAX_BITS:
            raise TemplateLimitError("a power with a huge result")
    elif numbers:
        if left.bit_length() + right.bit_length() > MAX_BITS:
            raise TemplateLimitError("a product with a huge result")
    else:
        items, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(times, int) and isinstance(items, (str, bytes, list, tuple)) and len(items) * times > MAX_ITEMS:
            raise TemplateLimitError("a repetition with a huge result")


@contextmanager
def _alarm() -> Iterator[None]:
    """Raises TemplateLimitError in the block after RENDER_SECONDS; nothing outside the main thread of a process."""
    if threading.current_thread() is not threading.main_thread() or not math.isfinite(RENDER_SECONDS):
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise TemplateLimitError(f"it did not finish in {RENDER_SECONDS:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, RENDER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
