"""Writes training files and a checkpoint folder of real sizes, the same for the same seed.

The texts are made of words that nobody wrote: 30,000 words of syllables, used as often as words are (Zipf's law), so
that a tokenizer trained on them splits them about as it splits English. A tenth of the sentences is not ASCII, a tenth
holds escapes. Conversations have one to four exchanges; the lengths follow a log-normal distribution with a median of
about 1.2 KB, and one row of a hundred is longer than 8 KB.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

SEED = 20260604
_WORDS, _SENTENCES = 30_000, 20_000
_BLOCK = 1 << 22
_ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl pr qu r s sh st t th tr v w z".split()
_VOWELS = "a e i o u ai ea ee io oo ou".split()
_CODAS = ["", "", "", "n", "r", "s", "t", "l", "m", "nd", "st", "ck", "ng"]
_FOREIGN = [
    "déjà vu à l'école",
    "naïve Größe für alle",
    "東京の天気は晴れ",
    "привет, как дела",
    "ما هي العاصمة",
    "👩‍👩‍👧 👍🏽 🎉",
    "¿qué tal, señor?",
]
_ESCAPED = ['"quoted"', "a\tb", "C:\\new\\table", "```python\nreturn x\n```", "1.\n2.\n3.", "</div>\n", "\u2028"]
_TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"word": {"type": "string"}}}},
}
_TOOLS = json.dumps([_TOOL]).encode()


def write_chat(path: Path, size: int, seed: int = SEED) -> int:
    """A valid chat file of at least `size` bytes. Returns its number of rows."""
    return _write(path, size, chat_rows(seed))


def write_broken(path: Path, size: int, seed: int = SEED) -> int:
    """The same rows, every one broken in one of seven ways. Returns the number of rows."""
    return _write(path, size, broken_rows(seed))


def _write(path: Path, size: int, rows: Iterator[bytes]) -> int:
    count = written = held = 0
    block: list[bytes] = []
    with path.open("wb") as file:
        for row in rows:
            block.append(row)
            count += 1
            held += len(row) + 1
            if held >= _BLOCK or written + held >= size:
                file.write(b"\n".join([*block, b""]))
                written, held = written + held, 0
                block.clear()
                if written >= size:
                    break
    return count


def sentences(seed: int = SEED) -> list[bytes]:
    """Sentences as they stand in a JSON string, without its quotes."""
    rng = random.Random(seed)
    words = list({_word(rng): None for _ in range(_WORDS * 2)})[:_WORDS]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    found = []
    for _ in range(_SENTENCES):
        chosen = rng.choices(words, cum_weights=weights, k=rng.randint(5, 24))
        luck = rng.random()
        if luck < 0.1:
            chosen.insert(rng.randrange(len(chosen)), rng.choice(_FOREIGN))
        elif luck < 0.2:
            chosen.insert(rng.randrange(len(chosen)), rng.choice(_ESCAPED))
        text = " ".join(chosen).capitalize() + rng.choice([". ", ". ", "? ", ".\n"])
        found.append(json.dumps(text, ensure_ascii=rng.random() < 0.05)[1:-1].encode())
    return found


def _word(rng: random.Random) -> str:
    count = rng.choices([1, 2, 3, 4], weights=[4, 4, 2, 1])[0]
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count))


def chat_rows(seed: int = SEED) -> Iterator[bytes]:
    """Rows of a chat file without end, as one line of JSON each."""
    pool = sentences(seed)
    rng = random.Random(seed + 1)
    number = 0
    while True:
        number += 1
        exchanges = rng.choices([1, 2, 3, 4], weights=[6, 2, 1, 1])[0]
        length = max(exchanges * 2, min(160, int(rng.lognormvariate(1.9, 0.85))))
        chosen = rng.choices(pool, k=length)
        messages = []
        if rng.random() < 0.25:
            messages.append(_message(b"system", b"You are helpful. " + chosen[0]))
        share = length // exchanges
        for turn in range(exchanges):
            part = chosen[turn * share : (turn + 1) * share]
            cut = max(1, len(part) // 4)
            messages.append(_message(b"user", b"".join(part[:cut])))
            if number % 20 == 0:
                messages.append(_CALL % (number, turn))
                messages.append(_message(b"tool", b"".join(part[cut : cut + 1])))
            messages.append(_message(b"assistant", b"".join(part[cut:]) or b"Yes."))
        row = b'{"messages": [' + b", ".join(messages) + b"]"
        yield row + (b', "tools": ' + _TOOLS + b"}" if number % 20 == 0 else b', "id": %d}' % number)


_CALL = (
    b'{"role": "assistant", "content": null, "tool_calls": [{"id": "call_%d_%d", "type": "function", "function": '
    b'{"name": "look_up", "arguments": "{\\"word\\": \\"x\\"}"}}]}'
)


def _message(role: bytes, content: bytes) -> bytes:
    return b'{"role": "' + role + b'", "content": "' + content + b'"}'


def broken_rows(seed: int = SEED) -> Iterator[bytes]:
    """Rows without end, none of them right."""
    rng = random.Random(seed + 2)
    for row in chat_rows(seed):
        luck = rng.random()
        if luck < 0.3:  # cut off
            yield row[: rng.randrange(len(row) // 2, len(row) - 2)]
        elif luck < 0.55:
            yield row.replace(b'"role": "user"', b'"role": "human"').replace(b'"role": "assistant"', b'"role": "gpt"')
        elif luck < 0.65:
            yield row.replace(b'"content": "', b'"content": 7, "was": "')
        elif luck < 0.8:
            yield row.replace(b'"messages"', b'"dialogue"')
        elif luck < 0.9:
            yield row.replace(b'"role": "assistant"', b'"role": "user"')
        elif luck < 0.95:
            yield row.replace(b'"content": "', b'"content": "\xff')
        else:
            yield b'{"messages": [], "was": ' + row + b"}"


# -- a checkpoint of a 7B model ---------------------------------------------------------------

# Qwen2.5-7B's config.json: 28 layers, 7.6 billion parameters, 15 GB in bfloat16.
_LAYERS, _HIDDEN, _KEY_VALUE, _FEED_FORWARD, _VOCABULARY = 28, 3584, 512, 18944, 152_064
_SHARDS = 4
_PAGE = 4096


def write_checkpoint(folder: Path, *, holes: bool = False) -> Path:
    """`folder`/checkpoint-1000 as the Trainer leaves it without an optimizer (`save_only_model`), weights sparse.

    Headers, index and tokenizer are true in form and size. Of a tensor only the first, the middle and the last page
    are written, so 15 GB take 4 MB; with `holes` nothing is, as after a crash of a machine that had not written yet.
    """
    place = folder / "checkpoint-1000"
    place.mkdir(parents=True)
    names = list(_tensors().items())
    share = -(-len(names) // _SHARDS)
    weight_map: dict[str, str] = {}
    total = 0
    for number in range(_SHARDS):
        file = f"model-{number + 1:05}-of-{_SHARDS:05}.safetensors"
        part = dict(names[number * share : (number + 1) * share])
        total += sparse_safetensors(place / file, part, holes=holes)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": _HIDDEN,
        "intermediate_size": _FEED_FORWARD,
        "num_attention_heads": 28,
        "num_hidden_layers": _LAYERS,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": _VOCABULARY,
        "eos_token_id": 151_645,
    }
    state = {"global_step": 1000, "max_steps": 2000, "epoch": 1.0, "log_history": [], "best_metric": None}
    _json(place / "model.safetensors.index.json", index)
    _json(place / "config.json", config)
    _json(place / "generation_config.json", {"eos_token_id": 151_645})
    _json(place / "trainer_state.json", state)
    _json(place / "tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer", "chat_template": _TEMPLATE})
    _json(place / "tokenizer.json", _tokenizer())
    return place


_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def _tensors() -> dict[str, tuple[int, ...]]:
    """Names and shapes of Qwen2ForCausalLM, as transformers 5 saves them."""
    square, narrow = (_HIDDEN, _HIDDEN), (_KEY_VALUE, _HIDDEN)
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (_HIDDEN,),
        "mlp.down_proj.weight": (_HIDDEN, _FEED_FORWARD),
        "mlp.gate_proj.weight": (_FEED_FORWARD, _HIDDEN),
        "mlp.up_proj.weight": (_FEED_FORWARD, _HIDDEN),
        "post_attention_layernorm.weight": (_HIDDEN,),
        "self_attn.k_proj.bias": (_KEY_VALUE,),
        "self_attn.k_proj.weight": narrow,
        "self_attn.o_proj.weight": square,
        "self_attn.q_proj.bias": (_HIDDEN,),
        "self_attn.q_proj.weight": square,
        "self_attn.v_proj.bias": (_KEY_VALUE,),
        "self_attn.v_proj.weight": narrow,
    }
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (_VOCABULARY, _HIDDEN)}
    for number in range(_LAYERS):
        tensors |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    return tensors | {"model.norm.weight": (_HIDDEN,), "lm_head.weight": (_VOCABULARY, _HIDDEN)}


def sparse_safetensors(path: Path, tensors: dict[str, tuple[int, ...]], *, holes: bool) -> int:
    """A safetensors file with a true header (bfloat16) and hardly any data. Returns the data's bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end, places = 0, list[int]()
    page = struct.pack("<H", 0x3C9A) * (_PAGE // 2)  # 0.0188 in bfloat16
    for name, shape in tensors.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        middle = end + size // 2 // _PAGE * _PAGE
        places += [end, middle, end + size - _PAGE] if size > 3 * _PAGE else range(end, end + size, _PAGE)
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for place in [] if holes else places:
            file.seek(8 + len(text) + place)
            file.write(page)
        file.truncate(8 + len(text) + end)
    return end


def _tokenizer() -> dict[str, object]:
    """As large as that of Qwen2.5: 151,643 pieces and as many merges."""
    rng = random.Random(SEED)
    pieces: dict[str, int] = {chr(33 + number): number for number in range(94)}
    merges: list[list[str]] = []
    known = list(pieces)
    while len(pieces) < 151_643:
        left, right = rng.choice(known[:600]), rng.choice(known[:600])
        if left + right not in pieces:
            pieces[left + right] = len(pieces)
            merges.append([left, right])
            known.append(left + right)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    added = [{"id": 151_643 + number, "content": name, "special": True} for number, name in enumerate(special)]
    return {"version": "1.0", "added_tokens": added, "model": {"type": "BPE", "vocab": pieces, "merges": merges}}


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
