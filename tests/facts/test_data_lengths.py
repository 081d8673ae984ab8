"""Lengths in tokens are those that transformers and trl compute, however few texts are really tokenized."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from trainguard.facts.data import limited, token_counts
from trainguard.facts.data.lengths import Measure, at_least, conclude, histogram, sample_every, summary
from trainguard.facts.data.options import Options
from trainguard.facts.data.records import Lengths, Truncation
from trainguard.facts.data.separable import spaces_lead
from trainguard.facts.data.token_counts import Counter

# The expressions of real tokenizer.json files: GPT-2, Llama 3, Qwen2, o200k (GPT-4o, gpt-oss), DeepSeek-V3.
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|im_start|>", "<|im_end|>", "<unk>"]
NAMED = {"eos_token": "<|im_end|>", "unk_token": "<unk>"}


def corpus(seed: int = 0, size: int = 400) -> list[str]:
    """Text with words, numbers, code, other scripts and odd white space."""
    chance = random.Random(seed)
    words = [
        "the",
        "of",
        "training",
        "don't",
        "we'll",
        "x1",
        "42",
        "1234567",
        "naïve",
        "漢字",
        "🙂👍",
        "def",
        "(a,b):",
        "—",
    ]
    words += ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(150)]
    gaps = [" "] * 20 + ["  ", "\n", "\n\n", "\n    ", "\t", " \n", "   ", "\r\n", "\u00a0", ".\n \n"]
    lengths = [chance.randint(1, 60) for _ in range(size)]
    return ["".join(chance.choice(words) + chance.choice(gaps) for _ in range(length)) for length in lengths]


def split(expression: str) -> Any:
    return pre_tokenizers.Split(Regex(expression), "isolated")


def byte_level(*before: Any, normalizer: Any = None, prefix: bool = False, gpt2: bool = False) -> Tokenizer:
    library = Tokenizer(models.BPE())
    last = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=gpt2)
    library.pre_tokenizer = pre_tokenizers.Sequence([*before, last]) if before else last
    if normalizer is not None:
        library.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    library.train_from_iterator(corpus(), trainer)
    library.decoder = decoders.ByteLevel()
    return library


def marked(normalizer: Any, pre_tokenizer: Any, *, fallback: bool = True) -> Tokenizer:
    """As Llama 2, Mistral and Gemma: BPE over the whole text, "▁" for the space, bytes for the unknown."""
    library = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=fallback))
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    trained = [f"<0x{byte:02X}>" for byte in range(256)] if fallback else []
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=[*SPECIAL, *trained], show_progress=False, limit_alphabet=60
    )
    library.train_from_iterator([text.replace("\n", " ") for text in corpus()], trainer)
    data = json.loads(library.to_str())
    data["added_tokens"] = [each for each in data["added_tokens"] if not each["content"].startswith("<0x")]
    library = Tokenizer.from_str(json.dumps(data))
    if normalizer is not None:
        library.normalizer = normalizer
    library.pre_tokenizer = pre_tokenizer
    return library


def llama2() -> Tokenizer:
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    library = marked(normalizers.Sequence(steps), None)
    library.post_processor = processors.TemplateProcessing("<|im_start|> $A", special_tokens=[("<|im_start|>", 0)])
    return library


def word_piece() -> Tokenizer:
    library = Tokenizer(models.WordPiece(unk_token="<unk>"))
    library.normalizer = normalizers.BertNormalizer()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.train_from_iterator(
        corpus(), trainers.WordPieceTrainer(vocab_size=900, special_tokens=SPECIAL, show_progress=False)
    )
    return library


def swallowing() -> Tokenizer:
    """As Phi-3: special tokens that take the white space behind them."""
    library = byte_level(split(LLAMA3))
    library.add_special_tokens([AddedToken("<|assistant|>", rstrip=True, special=True)])
    return library


MAKERS: dict[str, tuple[Callable[[], Tokenizer], bool, bool]] = {
    # name: how it is made, whether texts may be cut, whether there is a bound by bytes
    "gpt2": (lambda: byte_level(gpt2=True), True, True),
    "gpt2 with a space before": (lambda: byte_level(gpt2=True, prefix=True), True, True),
    "llama3": (lambda: byte_level(split(LLAMA3)), True, True),
    "qwen2": (lambda: byte_level(split(QWEN2), normalizer=normalizers.NFC()), True, True),
    "o200k": (lambda: byte_level(split(O200K)), True, True),
    "deepseek": (
        lambda: byte_level(split(r"\p{N}{1,3}"), split("[一-龥\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK)),
        True,
        True,
    ),
    "smollm": (lambda: byte_level(pre_tokenizers.Digits(individual_digits=True), gpt2=True), True, True),
    "phi3": (swallowing, False, True),
    "llama2": (llama2, True, True),
    "gemma": (
        lambda: marked(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous")),
        True,
        True,
    ),
    "mistral": (lambda: marked(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False)), True, True),
    "no fallback": (lambda: marked(normalizers.Replace(" ", "▁"), None, fallback=False), True, True),
    "nfkc": (lambda: byte_level(split(LLAMA3), normalizer=normalizers.NFKC()), False, False),
    "greedy spaces": (lambda: byte_level(split(r"\p{L}+ ?|[^\p{L}]+")), False, True),
    "word piece": (word_piece, False, False),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, (make, _, _) in MAKERS.items():
        made[name] = save(make(), tmp_path_factory.mktemp("tokenizer"))
    return made


def save(library: Tokenizer, folder: Path, template: str | None = CHATML) -> Path:
    library.save(str(folder / "tokenizer.json"))
    config = {**NAMED, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def counters(folders: dict[str, Path]) -> Iterator[dict[str, tuple[Counter, Tokenizer]]]:
    """With the self-check off: what is tested is the proof."""
    patch = pytest.MonkeyPatch()
    patch.setattr(token_counts, "_TRIAL_TEXTS", 0)
    patch.setattr(token_counts, "MAX_MISSES", 1.0)
    yield {name: (Counter(path), Tokenizer.from_file(str(path / "tokenizer.json"))) for name, path in folders.items()}
    patch.undo()


@pytest.mark.parametrize("name", MAKERS)
def test_which_tokenizers_are_proven(counters: dict[str, tuple[Counter, Tokenizer]], name: str) -> None:
    counter, _ = counters[name]
    assert (counter.cuts, counter.bound is not None) == MAKERS[name][1:]


ALPHABET = [*"ab cdeE.,'12", "  ", "\n", "\t", "\r\n", "\u00a0", "é", "e\u0301", "漢", "🙂", "▁", "\u2028", "\x1c"]
PIECES = st.one_of(
    st.sampled_from([*ALPHABET, "<|im_start|>", "<|im_end|>", "the", "training", "ｱ", "\x00", "'ll", "\u0301", "\x85"]),
    st.text(max_size=3),
)


@pytest.mark.parametrize("name", MAKERS)
@given(pieces=st.lists(PIECES, max_size=30))
@example(pieces=["a", " ", "\n", " ", "\n", "b"])
@example(pieces=["a", "\t", " ", "<|im_end|>", " ", "b"])
@example(pieces=["a", " ", " ", " ", "b", " "])
@example(pieces=["<|im_start|>", " ", "a", "\n", " ", "a"])
@example(pieces=[" ", "\x01"])
def test_counts_are_those_of_the_library(
    counters: dict[str, tuple[Counter, Tokenizer]], name: str, pieces: list[str]
) -> None:
    counter, library = counters[name]
    text = "".join(pieces).encode("utf-8", "replace").decode()
    tokens = len(library.encode(text, add_special_tokens=False).ids)
    assert counter.counts([text]) == [tokens]
    most = counter.at_most(text)
    assert most is None or most >= tokens


@pytest.mark.parametrize("name", MAKERS)
def test_counts_of_long_texts(counters: dict[str, tuple[Counter, Tokenizer]], name: str) -> None:
    counter, library = counters[name]
    texts = corpus(seed=1, size=300)
    expected = [len(library.encode(text, add_special_tokens=False).ids) for text in texts]
    assert counter.counts(texts) == expected
    assert counter.counts(texts) == expected  # all looked up by now


@pytest.mark.parametrize("name", MAKERS)
def test_a_limit_never_hides_a_text_that_is_longer(counters: dict[str, tuple[Counter, Tokenizer]], name: str) -> None:
    _, library = counters[name]
    for limit in (10, 60, 150, 400):
        counter = Counter(counters[name][0].folder)
        for seed in (11, 12):
            texts = corpus(seed=seed, size=150)
            for text, count in zip(texts, counter.counts(texts, [limit] * len(texts)), strict=True):
                right = len(library.encode(text, add_special_tokens=False).ids)
                assert count == right or right <= count <= limit
                for end in (len(text) // 3, len(text) // 2):
                    most = counter.at_most_before(text, end)
                    spans = library.encode(text, add_special_tokens=False).offsets
                    assert most is None or most >= sum(start < end for start, _ in spans)


def test_lookups_are_given_up_where_they_are_wrong(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_counts, "_TRIAL_TEXTS", 8)
    counter = Counter(folders["llama3"])
    monkeypatch.setattr(counter, "_learn", lambda parts: counter._known.update(dict.fromkeys(parts, 7)))
    texts = corpus(seed=2, size=20)
    library = Tokenizer.from_file(str(folders["llama3"] / "tokenizer.json"))
    assert counter.counts(texts) == [len(library.encode(text, add_special_tokens=False).ids) for text in texts]
    assert not counter.cuts


@pytest.mark.parametrize(
    ("expression", "safe"),
    [
        *(
            (each, True)
            for each in (GPT2, LLAMA3, QWEN2, O200K, DEEPSEEK, r"\p{N}{1,3}", "[一-龥\u3040-\u309f\u30a0-\u30ff]+")
        ),
        (r"\p{L}+ ?", False),
        (r"[^\r\n]+", False),
        (r"\S+", True),
        (r"\s+(?=\S)", False),
        (r"(?<=a) b", False),
        (r"a(?!\S)", False),
        (r".+", False),
        (r"[a ]b", True),
        (r"[a ]+b", False),
        (r"(ab| c)d", False),
        (r"\p{Zs}x| ", False),
        (r"[ -~]+", False),
        (r"[\s\S]+", False),
        (r"[^\S\r\n]+x", False),
        (r"\p{L}+\s", False),
        (r"[a", False),
        ("", True),
    ],
)
def test_where_spaces_stand_in_an_expression(expression: str, safe: bool) -> None:
    assert spaces_lead(expression) is safe


def measured(
    rows: list[dict[str, Any]], tokenizer: Path | None, max_length: int | None, *, lengths: bool = True, ranges: int = 1
) -> tuple[Lengths | None, Truncation | None, tuple[str, ...]]:
    options = Options(
        path="train.jsonl",
        max_length=max_length,
        tokenizer=None if tokenizer is None else str(tokenizer),
        lengths=lengths,
    )
    measure = Measure(options)
    states = []
    step = -(-len(rows) // ranges) or 1
    for start in range(0, len(rows), step):
        for number, row in enumerate(rows[start : start + step]):
            size = len(json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "replace"))
            sampled = bool(measure.every)
            if size > measure.bound or sampled:
                measure.add("train.jsonl", number, row, size, sampled)
        states.append(("train.jsonl", start + 1, measure.state()))
    measure.close()
    return conclude(states, len(rows), options)


def chat(*turns: str, system: str | None = None) -> dict[str, Any]:
    first = [{"role": "system", "content": system}] if system is not None else []
    messages = [{"role": ("user", "assistant")[at % 2], "content": turn} for at, turn in enumerate(turns)]
    return {"messages": [*first, *messages]}


def sft_rows(kind: str) -> list[dict[str, Any]]:
    texts = corpus(seed=3, size=120)
    chance = random.Random(4)
    rows = []
    for _ in range(60):
        prompt, answer = chance.choice(texts), chance.choice(texts)
        if kind == "messages":
            rows.append(chat(prompt, answer, system=chance.choice([None, "Be kind."])))
        elif kind == "sharegpt":
            rows.append({"conversations": [{"from": "user", "value": prompt}, {"from": "assistant", "value": answer}]})
        elif kind == "text":
            rows.append({"text": prompt})
        elif kind == "prompt-completion":
            rows.append({"prompt": prompt, "completion": answer})
        else:
            rows.append(
                {
                    "prompt": [{"role": "user", "content": prompt}],
                    "completion": [{"role": "assistant", "content": answer}],
                }
            )
    return rows


@pytest.fixture(scope="module")
def tiny_model() -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=1000, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    return transformers.LlamaForCausalLM(config)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["messages", "sharegpt", "text", "prompt-completion", "conversational prompt"])
@pytest.mark.parametrize("name", ["llama3", "llama2", "phi3"])
def test_lengths_are_those_of_the_trainer(
    folders: dict[str, Path], tiny_model: Any, tmp_path: Path, kind: str, name: str
) -> None:
    trl = pytest.importorskip("trl")
    datasets, transformers = pytest.importorskip("datasets"), pytest.importorskip("transformers")

    rows = sft_rows(kind)

    def prepared(max_length: int | None) -> list[int]:
        config = trl.SFTConfig(
            output_dir=str(tmp_path),
            max_length=max_length,
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folders[name])
        trainer = trl.SFTTrainer(
            tiny_model, args=config, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer
        )
        return [len(ids) for ids in trainer.train_dataset["input_ids"]]

    expected = sorted(prepared(None))
    limit = expected[len(expected) // 5]
    kept = prepared(limit)
    lengths, truncation, notes = measured(rows, folders[name], limit)
    assert notes == ()
    assert lengths is not None
    assert (lengths.counted, lengths.total, lengths.exact) == (len(rows), sum(expected), True)
    assert (lengths.shortest, lengths.longest) == (expected[0], expected[-1])
    assert lengths.percentiles[50] == expected[len(expected) // 2 - 1]
    assert truncation is not None
    assert truncation.over == sum(length > limit for length in expected)
    assert truncation.longest == expected[-1]
    if kind.endswith("prompt") or kind == "prompt-completion":
        assert truncation.lost_answers == len(rows) - len(kept) > 0  # trl drops what has nothing left to learn
    without, same, _ = measured(rows, folders[name], limit, lengths=False, ranges=3)
    assert without is None
    assert same == truncation


LONG = "word " * 300


def test_answers_that_are_lost(folders: dict[str, Path]) -> None:
    rows = [
        chat("hi", LONG),  # long, but its answer begins at once
        chat(LONG, "yes"),  # nothing of the answer is left
        chat("hi", "ok", LONG, "yes"),  # the first answer is left
        chat("hi", "ok"),
        {"prompt": LONG, "completion": "yes"},
        {"prompt": "hi", "chosen": LONG, "rejected": "no"},
        {"prompt": LONG, "chosen": "yes", "rejected": "no"},
        {"chosen": chat(LONG, "yes")["messages"], "rejected": chat(LONG, "no")["messages"]},
        {"text": LONG},
        {"prompt": [{"role": "user", "content": LONG}]},
        {"messages": [{"role": "user", "content": LONG}]},
        {"conversations": [{"from": "human", "value": LONG}, {"from": "gpt", "value": "yes"}]},
    ]
    for tokenizer, exact in ((folders["llama3"], True), (None, False)):
        _, truncation, _ = measured(rows, tokenizer, 100)
        assert truncation is not None
        assert (truncation.over, truncation.lost_answers, truncation.exact) == (11, 5, exact)
        assert [sample.line for sample in truncation.samples] == [1, 2, 3, 5, 6]
        assert [sample.detail.endswith("its answer begins after max_length") for sample in truncation.samples] == [
            False,
            True,
            False,
            True,
            False,
        ]


def test_the_last_token_that_is_kept_decides(folders: dict[str, Path]) -> None:
    """Against transformers, token by token: the answer is lost exactly when max_length ends before its first token."""
    row = chat("Why is the sky of the training so naïve 漢字?", "So it is 🙂.")
    library = Tokenizer.from_file(str(folders["llama3"] / "tokenizer.json"))
    before = "<|im_start|>user\n" + row["messages"][0]["content"] + "<|im_end|>\n<|im_start|>assistant\n"
    first = len(library.encode(before, add_special_tokens=False).ids)
    lost = []
    for limit in range(first - 3, first + 3):
        _, truncation, _ = measured([row], folders["llama3"], limit)
        assert truncation is not None
        lost.append(truncation.lost_answers)
    assert lost == [1, 1, 1, 1, 0, 0]


def test_the_generation_tag_says_where_the_answer_begins(folders: dict[str, Path], tmp_path: Path) -> None:
    template = CHATML.replace(
        "{{ m.content }}<|im_end|>",
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
        "{% else %}{{ m.content }}<|im_end|>{% endif %}",
    )
    library = Tokenizer.from_file(str(folders["llama3"] / "tokenizer.json"))
    folder = save(library, tmp_path, template)
    _, truncation, _ = measured([chat(LONG, "yes"), chat("hi", LONG)], folder, 100)
    assert truncation is not None
    assert (truncation.over, truncation.lost_answers) == (2, 1)


def test_an_estimate_never_counts_more_than_there_are(folders: dict[str, Path]) -> None:
    rows = [{"text": text} for text in corpus(seed=7)]
    lengths, _, _ = measured(rows, None, None)
    assert lengths is not None
    assert not lengths.exact
    for name in ("gpt2", "llama3", "gemma", "deepseek"):
        library = Tokenizer.from_file(str(folders[name] / "tokenizer.json"))
        for row in rows:
            assert at_least([row["text"]]) <= len(library.encode(row["text"]).ids)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it holds no tokenizer.json"),
        ({"tokenizer.json": "{"}, "cannot be loaded"),
        ({"tokenizer.json": "[" * 100_000}, "cannot be loaded"),
        ({"tokenizer.json": "{}", "tokenizer_config.json": "[1]"}, "it is no JSON object"),
        ({"tokenizer.json": "{}", "tokenizer_config.json": '{"a":'}, "tokenizer_config.json"),
        ({"tokenizer.json": "{}", "chat_template.jinja": b"\xff\xfe"}, "broken"),
        ({"tokenizer.json": "{}", "chat_template.jinja": "a" * (2 << 20)}, "more than"),
    ],
)
def test_a_broken_tokenizer_is_a_note(tmp_path: Path, files: dict[str, str | bytes], words: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    lengths, truncation, notes = measured([chat(LONG, "yes")], tmp_path, 100)
    assert any(words in note for note in notes), notes
    assert lengths is not None
    assert not lengths.exact
    assert truncation is not None
    assert (truncation.over, truncation.exact) == (1, False)


# A process that loads its tokenizer and never comes back from its first rows.
STUCK = "from trainguard.facts.data import measuring; measuring.Measuring.rows = lambda *_: time.sleep(999); main()"


def test_a_process_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "SECONDS", 8.0)
    monkeypatch.setattr(limited, "_PROGRAM", "import time; " + limited._PROGRAM.replace("main()", STUCK))
    folder = save(byte_level(split(LLAMA3)), tmp_path)
    _, _, notes = measured([chat("a" * 5000, "yes")], folder, 100)
    assert notes == ("lengths are not known: the process that tokenizes did not finish in 8 seconds",)


def test_a_process_that_dies_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = STUCK.replace("time.sleep(999)", "__import__('os')._exit(9)")
    monkeypatch.setattr(limited, "_PROGRAM", "import time; " + limited._PROGRAM.replace("main()", dying))
    folder = save(byte_level(split(LLAMA3)), tmp_path)
    _, truncation, notes = measured([chat("a" * 5000, "yes")], folder, 100)
    assert notes == ("lengths are not known: the process that tokenizes ended",)
    assert truncation is not None
    assert (truncation.over, truncation.exact) == (0, False)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": 10**30}, {"role": "assistant", "content": "ok"}]},
        {"messages": [{"role": "user", "content": "\ud800"}, {"role": "assistant", "content": "ok"}]},
        {"messages": ["user"]},
        {"messages": []},
        {"messages": [{}]},
        {"messages": [{"role": None, "content": None}]},
        {"messages": "hi", "tools": "{", "text": 5},
        {"prompt": 5, "completion": None},
        {"chosen": [], "rejected": "x"},
        {"chosen": [{"role": "user"}], "rejected": [{"role": "user"}]},
        {"conversations": [{"from": 1, "value": [{"text": 3}]}]},
        {},
    ],
)
def test_odd_rows_are_no_exception(folders: dict[str, Path], row: dict[str, Any]) -> None:
    for tokenizer in (folders["llama3"], None):
        lengths, truncation, _ = measured([row, chat("hi", "ok"), row, chat("hi", LONG)], tokenizer, 100)
        assert lengths is not None
        assert lengths.counted >= 2
        assert truncation is not None
        assert truncation.over == 1
        assert truncation.samples[0].line == 4


def test_the_summary() -> None:
    figures = summary({10: 50, 20: 30, 3000: 19, 9000: 1}, exact=True)
    assert figures is not None
    assert (figures.counted, figures.shortest, figures.longest, figures.total) == (100, 10, 9000, 67100)
    assert figures.percentiles == {1: 10, 5: 10, 25: 10, 50: 10, 75: 20, 90: 3000, 95: 3000, 99: 3000}
    assert figures.over == {512: 0.2, 1024: 0.2, 2048: 0.2, 4096: 0.01, 8192: 0.01}
    assert summary({}, exact=True) is None


@given(st.dictionaries(st.integers(0, 100_000), st.integers(1, 50), min_size=1, max_size=50))
def test_a_histogram_holds_every_row(lengths: dict[int, int]) -> None:
    figures = summary(lengths, exact=True)
    assert figures is not None
    bars = histogram(lengths, figures.percentiles[99])
    assert bars[0][0] <= min(lengths)
    assert bars[-1][1] > max(lengths)
    assert all(one[1] == other[0] for one, other in pairwise(bars))
    assert len(bars) <= 22
    for low, high, rows in bars:
        assert rows == sum(count for length, count in lengths.items() if low <= length < high)


def test_large_data_is_sampled(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(b"x")
    assert (sample_every(str(file)), sample_every(str(tmp_path)), sample_every("/no/such")) == (1, 1, 1)
    with file.open("r+b") as handle:
        handle.truncate(320 << 20)
    assert (sample_every(str(file)), sample_every(str(tmp_path))) == (10, 10)
