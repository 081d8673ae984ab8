"""Chat templates are rendered as transformers renders them, and a hostile one ends within seconds as a fact."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from trainguard.facts.data import template as template_module
from trainguard.facts.data.judging import Judge
from trainguard.facts.data.template import RefusedError, Renderer, TemplateLimitError

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": 'The weather of a <city> & its "surroundings"',
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"id": "call12345", "type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich"}}}


def say(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CONVERSATIONS: list[dict[str, Any]] = [
    {"messages": [say("user", "Hi"), say("assistant", "Hello.")]},
    {"messages": [say("system", "Be short."), say("user", "  Hi \n"), say("assistant", "\tHello. ")]},
    {"messages": [say("user", "1"), say("assistant", "2"), say("user", "3"), say("assistant", "4")]},
    {"messages": [say("user", "é 漢字 🙂 <b>&amp;</b>"), say("assistant", "<think>\nhm\n</think>\n\nyes")]},
    {"messages": [say("user", "why"), say("assistant", "so", reasoning_content="because")]},
    {"messages": [say("user", "why"), say("assistant", "so", thinking="because")]},
    {"messages": [say("user", "hi"), say("user", "again"), say("assistant", "ok")]},
    {"messages": [say("assistant", "I begin"), say("user", "no")]},
    {"messages": [say("human", "hi"), say("gpt", "ok")]},
    {"messages": [say("developer", "Be short."), say("user", "hi"), say("assistant", "ok")]},
    {"messages": [say("user", "hi"), say("system", "late"), say("assistant", "ok")]},
    {"messages": [say("user", "hi"), say("assistant", None)]},
    {"messages": [say("user", [{"type": "text", "text": "hi"}]), say("assistant", [{"type": "text", "text": "ok"}])]},
    {"messages": [say("user", [{"type": "image"}, {"type": "text", "text": "what?"}]), say("assistant", "a cat")]},
    {
        "messages": [
            say("user", "Zürich?"),
            say("assistant", None, tool_calls=[CALL]),
            say("tool", '{"sun": true}', name="weather", tool_call_id="call12345"),
            say("assistant", "Sunny."),
        ],
        "tools": [TOOL],
    },
    {
        "messages": [
            say("system", "Use tools."),
            say("user", "Zürich?"),
            say("assistant", "One moment", tool_calls=[CALL, CALL]),
            say("tool", "1"),
            say("tool", "2"),
            say("assistant", "Sunny."),
        ],
        "tools": [TOOL, TOOL],
    },
    {"messages": [say("user", 5), say("assistant", {"a": 1})]},
    {"messages": [say("tool", "1")]},
]


def templates() -> list[Path]:
    import trl

    return sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


def expected(tokenizer: Any, row: dict[str, Any], generation_prompt: bool) -> str | None:
    try:
        return str(
            tokenizer.apply_chat_template(
                row["messages"], tools=row.get("tools"), tokenize=False, add_generation_prompt=generation_prompt
            )
        )
    except Exception:
        return None


def test_every_template_of_trl_is_rendered_as_transformers_does(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=library, **SPECIAL)
    monkeypatch.setattr(template_module, "RENDER_SECONDS", 60.0)
    rendered = refused = 0
    for path in templates():
        source = path.read_text(encoding="utf-8")
        renderer = Renderer({"default": source}, SPECIAL)
        assert renderer.problem is None, path.name
        tokenizer.chat_template = source
        for row in CONVERSATIONS:
            for prompt in (False, True):
                try:
                    ours: str | None = renderer.render(
                        row["messages"], tools=row.get("tools"), generation_prompt=prompt
                    )
                except RefusedError:
                    ours = None
                assert ours == expected(tokenizer, row, prompt), (path.name, row)
                rendered, refused = rendered + (ours is not None), refused + (ours is None)
    assert rendered > 1000
    assert refused > 100


def test_what_a_template_raises_is_the_refusal() -> None:
    source = (
        "{% if messages[0].role != 'user' %}{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}"
    )
    renderer = Renderer({"default": source}, {})
    assert renderer.render([say("user", "hi")]) == ""
    with pytest.raises(RefusedError, match=r"^Roles must alternate user/assistant$"):
        renderer.render([say("assistant", "hi")])


HOSTILE = {
    "endless loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "a huge power": "{{ 10 ** (10 ** 8) }}",
    "a huge power by steps": "{% set n = namespace(x=3) %}{% for a in range(99999) %}"
    "{% set n.x = n.x * n.x %}{% endfor %}",
    "a huge repetition": "{{ 'a' * 10000000000 }}",
    "a huge list": "{{ ([1] * 10000000000) | length }}",
    "doubling": "{% set n = namespace(x='aaaaaaaa') %}{% for a in range(99999) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "a wide field": "{{ 'a'.center(100000000000) }}",
    "a wide format": "{{ '%099999999999d' % 1 }}",
    "recursion": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "the interpreter": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "deep brackets": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
    "no Jinja": "{% for %}",
    "a file": "{% include '/etc/passwd' %}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_within_seconds_as_a_fact(tmp_path: Path, name: str) -> None:
    folder = tokenizer_folder(tmp_path, HOSTILE[name])
    start = time.monotonic()
    judge = Judge(folder)
    try:
        refusal = judge.refuses({"messages": [say("user", "hi"), say("assistant", "ok")]})
        assert refusal is not None or not judge.usable
        assert refusal is None or "root:" not in refusal
    finally:
        judge.close()
    assert time.monotonic() - start < 40  # three seconds, and the start of a process on a crowded machine


def tokenizer_folder(folder: Path, template: str | None = None, **config: Any) -> Path:
    """A folder with a tokenizer of three words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    library = Tokenizer(models.WordLevel({"<unk>": 0, "hi": 1, "ok": 2}, unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.save(str(folder / "tokenizer.json"))
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


ALTERNATE = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ m.content }}{% endfor %}"
)


def test_the_judge_gives_the_words_of_the_template(tmp_path: Path) -> None:
    judge = Judge(tokenizer_folder(tmp_path, ALTERNATE))
    assert judge.usable
    assert judge.refuses({"messages": [say("user", "hi"), say("assistant", "ok")]}) is None
    assert judge.refuses({"messages": [say("user", "hi"), say("user", "ok")]}) == (
        "Conversation roles must alternate user/assistant/user/assistant/..."
    )
    assert judge.refuses({"prompt": [say("user", "hi")], "completion": [say("assistant", "ok")]}) is None
    assert judge.usable
    judge.close()


# A template that adds up parts only, as those of vision models do.
PARTS = (
    "{% for m in messages %}{{ m.role }}{% for part in m.content %}{% if part.type != 'text' %}"
    "{{ raise_exception('only text') }}{% endif %}{{ part.text }}{% endfor %}{% endfor %}"
)


@pytest.mark.parametrize("file", [None, "processor_config.json", "preprocessor_config.json"])
def test_a_processor_is_given_texts_as_parts(tmp_path: Path, file: str | None) -> None:
    if file is not None:
        (tmp_path / file).write_text("{}", encoding="utf-8")
    judge = Judge(tokenizer_folder(tmp_path, PARTS))
    hi, ok = say("user", "hi"), say("assistant", "ok")
    wanted = "only text" if file is None else None
    assert judge.refuses({"messages": [hi, ok]}) == wanted
    assert judge.refuses({"prompt": [hi], "completion": [ok]}) == wanted
    assert judge.refuses({"conversations": [{"from": "user", "value": "hi"}]}) == wanted
    assert judge.refuses({"messages": [say("user", [{"type": "video"}])]}) == "only text"
    judge.close()


@pytest.mark.parametrize(("template", "words"), [(None, "no chat template"), ("{% if %}", "cannot be compiled")])
def test_a_judge_without_a_template_is_not_usable(tmp_path: Path, template: str | None, words: str) -> None:
    judge = Judge(tokenizer_folder(tmp_path, template))
    assert not judge.usable
    assert words in str(judge.problem)
    assert judge.refuses({"messages": [say("user", "hi")]}) is None
    judge.close()


def test_a_template_over_the_limit_of_the_main_thread_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_module, "RENDER_SECONDS", 0.2)
    renderer = Renderer({"default": HOSTILE["endless loops"]}, {})
    with pytest.raises(TemplateLimitError, match="did not finish"):
        renderer.render([say("user", "hi")])
