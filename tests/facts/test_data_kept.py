"""The process that tokenizes, kept open from one file to the next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

_TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
# In a process of its own, which is the one that keeps: the children's numbers, and what was read.
_READ = """
import json, sys
from pathlib import Path
from trainguard.facts.data import limited
from trainguard.facts.data.limited import keep_open
from trainguard.facts.data.reading import read_data
if sys.argv[1] == "keep":
    keep_open()
started = []
spawn = limited.subprocess.Popen
class Spawned(spawn):
    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        started.append(self.pid)
limited.subprocess.Popen = Spawned
folder = Path(sys.argv[2])
for line in sys.stdin:
    name, before = json.loads(line)
    exec(before)
    facts = read_data(folder / name, tokenizer=folder / "model", max_length=4, lengths=True)
    lengths, cut = facts.lengths, facts.truncation
    figures = [lengths and [lengths.exact, lengths.counted, lengths.longest], cut and [cut.exact, cut.over]]
    print(json.dumps([figures, list(facts.notes), len(started)]), flush=True)
"""


def _folder(folder: Path) -> None:
    _tokenizer(folder / "model")
    for name, words in (("short", 2), ("long", 9)):
        rows = [{"messages": [{"role": "user", "content": "a " * words}, {"role": "assistant", "content": "a"}]}] * 5
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _tokenizer(folder: Path, template: str = _TEMPLATE) -> None:
    folder.mkdir(exist_ok=True)
    made = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))


def _read(folder: Path, *asked: tuple[str, str], keep: bool = True) -> list[Any]:
    ran = subprocess.run(
        [sys.executable, "-c", _READ, "keep" if keep else "end", str(folder)],
        input="".join(json.dumps(each) + "\n" for each in asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=180.0,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_files_are_measured_alike_with_two_processes_and_with_two_each(tmp_path: Path) -> None:
    _folder(tmp_path)
    asked = [("short.jsonl", ""), ("long.jsonl", ""), ("short.jsonl", "")]
    kept, alone = _read(tmp_path, *asked), _read(tmp_path, *asked, keep=False)
    assert [each[:2] for each in kept] == [each[:2] for each in alone]
    assert [figures for figures, _, _ in kept] == [
        [[True, 5, 3], [True, 0]],
        [[True, 5, 10], [True, 5]],
        [[True, 5, 3], [True, 0]],
    ]
    assert [started for _, _, started in kept] == [2, 2, 2]
    assert [started for _, _, started in alone] == [2, 4, 6]


def test_a_process_that_died_or_knows_another_tokenizer_is_not_used_again(tmp_path: Path) -> None:
    _folder(tmp_path)
    kill = "import os; [(os.kill(pid, 9), os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)) for pid in started]"
    other = "(folder / 'model' / 'tokenizer_config.json').write_text('{\"chat_template\": \"a a a a a a\"}')"
    answers = _read(tmp_path, ("short.jsonl", ""), ("short.jsonl", kill), ("short.jsonl", other))
    assert [figures for figures, _, _ in answers] == [
        [[True, 5, 3], [True, 0]],
        [[True, 5, 3], [True, 0]],
        [[True, 5, 6], [True, 5]],
    ]
    assert [started for _, _, started in answers] == [2, 4, 6]


def test_what_one_file_did_to_the_process_is_not_the_next_ones_trouble(tmp_path: Path) -> None:
    """A template that never ends with some rows is given up for their file only."""
    _folder(tmp_path)
    slow = "{% for m in messages %}{% if 'z' in m['content'] %}{% for i in range(99999) %}"
    slow += "{% for j in range(99999) %}{% endfor %}{% endfor %}{% endif %}{{ m['content'] }} {% endfor %}"
    _tokenizer(tmp_path / "model", slow)
    row = {"messages": [{"role": "user", "content": "z"}, {"role": "assistant", "content": "a"}]}
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n")
    good, bad, after = _read(tmp_path, ("short.jsonl", ""), ("bad.jsonl", ""), ("short.jsonl", ""))
    assert good[:2] == after[:2]
    assert good[0] == [[True, 5, 3], [True, 0]]
    assert bad[0] != good[0]
    assert any("template" in note for note in bad[1])
