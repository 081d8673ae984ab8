"""What is known of the columns of a script's datasets."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

from trainguard.facts.columns import DatasetColumns
from trainguard.facts.columns_files import FileFormat, columns_of_file
from trainguard.facts.columns_schema import Columns, Removal, Rows, joined, mapped, removed, renamed, unknown, without
from trainguard.facts.script import read_script

HEAD = (
    "from datasets import Dataset, DatasetDict, IterableDataset, concatenate_datasets, load_dataset\n"
    "import pandas as pd\n"
)
HUB = 'ds = load_dataset("org/set", split="train")\n'
TWO = 'ds = Dataset.from_list([{"q": "1", "a": "2"}, {"q": "3", "a": "4"}])\n'


def table_of(text: str, given: tuple[str, ...] | None = None, path: str | None = None) -> Columns | None:
    """The table that the last line's `use(…)` is given."""
    script = read_script(HEAD + text, path=path)
    call = [each for each in script.calls if each.written_name == "use"][-1]
    tables = DatasetColumns(script, given=given).tables(call.node.args[0], call.block)
    return tables[0] if len(tables) == 1 else None


def closed(text: str) -> set[str] | None:
    table = table_of(text)
    return set(table.present) if table is not None and table.closed else None


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('ds = Dataset.from_dict({"text": ["a"], "n": [1]})\nuse(ds)', {"text", "n"}),
        ('use(Dataset.from_dict(dict(text=["a"])))', {"text"}),
        ('rows = [{"prompt": x} for x in names]\nuse(Dataset.from_list(rows))', {"prompt"}),
        ('use(Dataset.from_list([{"prompt": "a"}] * 100))', {"prompt"}),
        ('use(Dataset.from_list([{"a": 1}, {"b": 1}]))', None),
        ("rows = make()\nuse(Dataset.from_list(rows))", None),
        ('rows = [{"a": 1}]\nrows.append(more())\nuse(Dataset.from_list(rows))', None),
        ('use(Dataset.from_pandas(pd.DataFrame({"a": [1], "b": [2]})))', {"a", "b"}),
        ('df = pd.DataFrame({"a": [1]})\ndf["b"] = 2\nuse(Dataset.from_pandas(df))', None),
        ('def g():\n    for n in range(3):\n        yield {"text": str(n)}\nuse(Dataset.from_generator(g))', {"text"}),
        ('def g():\n    yield {"a": 1}\n    yield {"b": 1}\nuse(Dataset.from_generator(g))', None),
        (TWO + 'use(ds.rename_column("q", "prompt"))', {"prompt", "a"}),
        (TWO + 'use(ds.rename_columns({"q": "prompt", "a": "completion"}))', {"prompt", "completion"}),
        (TWO + 'use(ds.remove_columns(["q"]))', {"a"}),
        (TWO + 'use(ds.remove_columns("q").add_column("z", values))', {"a", "z"}),
        (TWO + 'use(ds.select_columns("q"))', {"q"}),
        (HUB + 'use(ds.select_columns(["q", "a"]))', {"q", "a"}),
        (TWO + "use(ds.shuffle(seed=1).select(range(1)).filter(lambda row: row['q']).take(1))", {"q", "a"}),
        (TWO + 'use(ds.train_test_split(test_size=0.1)["train"])', {"q", "a"}),
        (TWO + 'split = ds.train_test_split(0.1)\ntrain, test = split["train"], split["test"]\nuse(test)', {"q", "a"}),
        (TWO + 'both = DatasetDict({"train": ds, "test": ds.remove_columns("q")})\nuse(both["test"])', {"a"}),
        (TWO + 'both = DatasetDict({"train": ds})\nboth["train"] = other\nuse(both["train"])', None),
        (TWO + 'use(concatenate_datasets([ds, ds.rename_column("q", "text")]))', {"q", "a", "text"}),
        (TWO + "use(concatenate_datasets([ds, other]))", None),
        (TWO + "use(ds.with_transform(f))", None),
        (TWO + "ds.set_format('torch', columns=['q'])\nuse(ds)", None),
        (TWO + "use(ds.map(tokenize))", None),
        (TWO + 'use(ds.map(lambda row: {"text": row["q"]}))', {"q", "a", "text"}),
        (TWO + 'use(ds.map(lambda row: {"text": row["q"]}, remove_columns=["q", "a"]))', {"text"}),
        (HUB + 'use(ds.map(lambda row: {"text": row["q"]}, remove_columns=ds.column_names))', {"text"}),
        (HUB + 'use(ds.map(lambda r: {"text": r["q"]}, remove_columns=list(ds.features)))', {"text"}),
        (HUB + 'use(ds.map(lambda r: {"text": r["q"]}, remove_columns=list(ds.features.keys())))', {"text"}),
        (HUB + 'old = ds.column_names\nuse(ds.map(lambda r: {"t": r["q"]}, remove_columns=old))', {"t"}),
        (HUB + 'use(ds.shuffle().map(lambda r: {"t": r["q"]}, remove_columns=ds.column_names))', {"t"}),
        ('ds = load_dataset("org/set")\nds = ds.map(lambda r: {"t": 1}, remove_columns=ds["train"].column_names)\n'
         'use(ds["train"])', {"t"}),
        (HUB + 'use(ds.map(lambda r: {"text": r["q"]}, remove_columns=other.column_names))', None),
        (HUB + 'use(ds.map(lambda r: {**r, "text": r["q"]}, remove_columns=ds.column_names))', None),
        (TWO + 'use(ds.map(lambda r: {**r, "text": r["q"]}, remove_columns=["q"]))', {"q", "a", "text"}),
        (TWO + 'use(ds.map(f, remove_columns=ds.column_names))', None),
        (TWO + 'keep = ["q"]\nuse(ds.remove_columns([c for c in ds.column_names if c not in keep]))', {"q"}),
        (TWO + 'use(ds.remove_columns(set(ds.column_names) - {"a"}))', {"a"}),
        (TWO + "def f(row):\n    row['text'] = row['q']\n    return row\nuse(ds.map(f))", {"q", "a", "text"}),
        (TWO + "def f(row):\n    row['t'] = 1\n    return row\nuse(ds.map(f, remove_columns=ds.column_names))", {"t"}),
        (TWO + "def f(row):\n    row['q'] = row['a']\n    return row\nuse(ds.map(f, remove_columns=['q']))", {"a"}),
        (TWO + "def f(row):\n    del row['q']\n    return row\nuse(ds.map(f))", None),
        (TWO + "def f(row):\n    if row['q']:\n        return {'x': 1}\n    return {'y': 1}\nuse(ds.map(f))", None),
        (TWO + "def f(row):\n    print(row)\nuse(ds.map(f, remove_columns=ds.column_names))", None),
        (TWO + "def prepare(data):\n    return data.rename_column('q', 'prompt')\nuse(prepare(ds))", {"prompt", "a"}),
        (TWO + "def load():\n    return ds, ds.remove_columns('a')\ntrain, test = load()\nuse(test)", {"q"}),
        (TWO + "def go(data):\n    use(data)\ngo(ds.remove_columns('a'))", {"q"}),
        (TWO + "def go(data):\n    use(data)\ngo(ds)\ncallback = go", None),
        (TWO + "if flag:\n    ds = ds.rename_column('q', 'text')\nuse(ds)", None),
        (TWO + "for _ in range(2):\n    ds = ds.map(f)\nuse(ds)", None),
    ],
)  # fmt: skip
def test_columns(text: str, columns: set[str] | None) -> None:
    assert closed(text) == columns


def test_a_renamed_column_of_an_unknown_set_is_known_to_be_gone() -> None:
    table = table_of(HUB + 'use(ds.rename_column("q", "prompt").remove_columns("meta"))')
    assert table is not None
    assert [table.has(name) for name in ("prompt", "q", "meta", "completion")] == [True, False, False, None]


def test_a_given_schema_is_that_of_the_only_set() -> None:
    table = table_of(HUB + 'use(ds.remove_columns("a"))', given=("q", "a"))
    assert table is not None
    assert set(table.present) == {"q"}
    assert table.closed
    other = table_of(HUB + 'more = load_dataset("org/more")\nuse(ds)', given=("q", "a"))
    assert other is not None
    assert not other.closed


def test_kinds() -> None:
    chat = '[{"role": "user", "content": "a"}]'
    table = table_of(f'use(Dataset.from_dict({{"a": ["x"], "b": [1], "c": [{chat}], "d": [f()], "e": [f"{{x}}"]}}))')
    assert table is not None
    assert dict(table.present) == {"a": "text", "b": "number", "c": "chat", "d": None, "e": "text"}


# -- the algebra -------------------------------------------------------------------


def test_joined_tables_keep_what_both_have() -> None:
    table = joined([Columns({"a": "text", "b": None}), Columns({"a": "number"})])
    assert [table.has(name) for name in "abc"] == [True, None, False]
    assert table.present["a"] is None
    assert joined([Columns({"a": None}), unknown("x")]).has("c") is None


def test_what_a_base_had_lost_may_be_left() -> None:
    raw = unknown("raw")
    fewer = without(raw, ["x"])
    left = removed(raw, Removal(of=fewer))
    assert left.has("x") is None
    assert left.has("y") is False
    assert removed(raw, Removal(unknown=True)).has("x") is None
    assert removed(raw, Removal(of=raw, kept=frozenset({"k"}), same=True)).has("k") is None
    assert renamed(raw, {"a": "b"}).has("a") is False


def test_more_keys_open_a_table() -> None:
    table = mapped(Columns({"a": "text"}), Rows({"b": None}, more=True), Removal(frozenset({"a"})), "call")
    assert [table.has(name) for name in "abc"] == [None, True, None]


# -- files -------------------------------------------------------------------------


def read(folder: Path, content: bytes, kind: FileFormat = "json", name: str = "data.txt") -> set[str] | None:
    (folder / "train.py").write_text("")
    (folder / name).write_bytes(content)
    table = columns_of_file(str(folder / "train.py"), name, kind)
    return set(table.present) if table is not None else None


LONG = b"".join(b'{"a": "%s", "b": 1}\n' % (b"x" * 1000) for _ in range(200))


@pytest.mark.parametrize(
    ("content", "kind", "columns"),
    [
        (b'{"a": 1}\n{"a": 2, "b": null}\n', "json", {"a", "b"}),
        (b'[{"a": 1}, {"b": 2}]', "json", {"a", "b"}),
        (b'{\n"a": 1\n}', "json", None),
        (LONG, "json", {"a", "b"}),
        (b'{"c": 1}\n' + LONG, "json", None),
        (b'{"a": "' + b"x" * 100_000 + b'"}', "json", None),
        (b"[" + LONG.replace(b"\n", b",") + b"1", "json", {"a", "b"}),
        (b"[" * 50_000, "json", None),
        (b'{"a": ' * 20_000, "json", None),
        (b"1" * 60_000, "json", None),
        (b'{"a": 1}\nnot json\n', "json", None),
        (b'\xef\xbb\xbf{"a": 1}\n', "json", None),
        (b"\xff\xfe\x00", "json", None),
        (b"", "json", None),
        (b"\n\n", "csv", None),
        (b"a,b\n1,2\n", "csv", {"a", "b"}),
        (b",b\n0,2\n", "csv", {"Unnamed: 0", "b"}),
        (b"a,b\n1,2,3\n", "csv", None),
        (b"a,a\n1,2\n", "csv", None),
        (b"a,b\n", "csv", None),
        (b'a,"b\n' * 3, "csv", None),
        (b"PAR1 no parquet file PAR1", "parquet", None),
        (b"", "parquet", None),
    ],
)
def test_files(tmp_path: Path, content: bytes, kind: FileFormat, columns: set[str] | None) -> None:
    assert read(tmp_path, content, kind) == columns


def test_only_plain_files_beside_the_script_are_read(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    assert read(inner, b'{"a": 1}\n') == {"a"}
    (tmp_path / "outside.json").write_bytes(b'{"secret": 1}\n')
    (inner / "link.json").symlink_to(tmp_path / "outside.json")
    os.mkfifo(inner / "pipe.json")
    script = str(inner / "train.py")
    outside = [str(tmp_path / "outside.json"), "../outside.json", "link.json", "pipe.json", ".", "", "no.json", "a\0b"]
    assert [columns_of_file(script, path, "json") for path in outside] == [None] * len(outside)
    assert columns_of_file(None, "data.txt", "json") is None
    assert columns_of_file("job.json:script", "data.txt", "json") is None


def test_loaders_of_local_files(tmp_path: Path) -> None:
    path = str(tmp_path / "train.py")
    Path(path).write_text("")
    (tmp_path / "d.jsonl").write_text(json.dumps({"a": "1"}) + "\n")
    (tmp_path / "d.csv").write_text("x,y\n1,2\n")

    def columns(text: str) -> set[str] | None:
        table = table_of(text, path=path)
        return set(table.present) if table is not None and table.closed else None

    assert columns('use(load_dataset("json", data_files="d.jsonl", split="train[:10%]"))') == {"a"}
    assert columns('use(load_dataset("json", data_files={"train": "d.jsonl"})["train"])') == {"a"}
    assert columns('use(load_dataset("json", data_files=["d.jsonl"])["train"])') == {"a"}
    assert columns('use(load_dataset("csv", data_files="d.csv", split="train"))') == {"x", "y"}
    assert columns('use(load_dataset("csv", data_files="d.csv", split="train", delimiter=";"))') is None
    assert columns('use(load_dataset("csv", data_files="d.csv", split="train", names=["p"]))') is None
    assert columns('use(load_dataset("text", data_files="nowhere.txt", split="train"))') == {"text"}
    assert columns('use(Dataset.from_json("d.jsonl"))') == {"a"}
    assert columns('use(Dataset.from_csv("d.csv"))') == {"x", "y"}
    assert columns('use(load_dataset("json", data_files="d.jsonl", field="x", split="train"))') is None
    assert columns('use(load_dataset("json", data_files="d.jsonl", split="test"))') is None
    assert (
        columns('open("d.jsonl", "w").write(rows)\nuse(load_dataset("json", data_files="d.jsonl", split="train"))')
        is None
    )


def test_hostile_scripts_end() -> None:
    chain = "ds" + ".shuffle()" * 400
    loop = "\n".join(f"def f{n}(d):\n    return f{(n + 1) % 50}(d)" for n in range(50))
    wide = "ds = a\n" + "\n".join(f"if x:\n    ds = ds.map(lambda r: {{'c{n}': 1}})" for n in range(60))
    for text in (f"{TWO}use({chain})", f"{TWO}{loop}\nuse(f0(ds))", f"{wide}\nuse(ds)"):
        table = table_of(text)
        assert table is None or not table.closed
    assert ast.parse(wide)
