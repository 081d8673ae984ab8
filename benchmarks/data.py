"""Measures the checks of training data and checkpoints beside other tools, and puts hostile files to them.

    python benchmarks/data.py [--rounds N] [--bytes N | --quick] [--folder FOLDER] [--only PART] [--no-page]

Files are generated (`data_corpus.py`, `hostile_data`) into a scratch folder and removed at the end. The other tools
get environments of their own, made with pip on first use (about 700 MB). Every tool runs as a process of its own,
in turn with the others, on a file that is in the page cache; the time is that of the work, without imports, and of the
whole process for the command line. The memory is the sum over the process and all that it starts, counted every 10 ms.
Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from data_corpus import write_broken, write_chat, write_checkpoint
from hostile_data import HOSTILE, Hostile
from process_tree import run_watched

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- data: begin, by `make bench-data` -->", "<!-- data: end -->"
# Of each the release that was the newest when this was written.
_ENVIRONMENTS = {
    "datasets": ("datasets==5.2.0",),
    "together": ("together==3.1.1",),
    "parallelogram": ("parallelogram==0.4.2",),
    "transformers": ("transformers==5.23.0", "jinja2"),
}
_TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or m.tool_calls }}<|im_end|>\n{% endfor %}"
_MAX_LENGTH = 2048
_SLOW_SHARE = 10  # a tool that needs minutes for the whole file reads a tenth of it
_LOOP_SHARE = 25  # a loop that tokenizes line by line reads about 1 MB/s

# Each gets the path, the file for its answer, and more. What it does between the two clocks is what is timed.
_TIMED = """
import json, sys, time
from pathlib import Path
path, answer, more = sys.argv[1], sys.argv[2], sys.argv[3:]
{imports}
start = time.perf_counter()
{work}
Path(answer).write_text(json.dumps({{"seconds": time.perf_counter() - start, "said": said}}))
"""
_OURS = "said = [[f.code, f.severity, f.where.line if f.where else None] for f in check_data(path{options})]"
_LENGTHS_HEAD = """
import os
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(more[0])
backend = tokenizer.backend_tokenizer
"""
_LENGTHS_WORK = """
over = 0
for line in open(path, "rb"):
    messages = json.loads(line)["messages"]
    over += {count} > 2048
said = over
"""
_SCRIPTS = {
    "trainguard": ("from trainguard import check_data", _OURS.format(options="")),
    "lines": ("", "for line in open(path, 'rb'):\n    pass\nsaid = 0"),
    "datasets": (
        "import datasets\ndatasets.disable_progress_bars()",
        "said = datasets.load_dataset('json', data_files=path, cache_dir=more[0])['train'].num_rows",
    ),
    "together": ("from together.lib.utils.files import check_file", "said = check_file(path)['is_check_passed']"),
    "trainguard lengths": (
        "from trainguard import check_data",
        _OURS.format(options=f", tokenizer=more[0], max_length={_MAX_LENGTH}"),
    ),
    "template loop": (
        _LENGTHS_HEAD,
        _LENGTHS_WORK.format(count="len(tokenizer.apply_chat_template(messages)['input_ids'])"),
    ),
    "encode loop": (
        _LENGTHS_HEAD,
        _LENGTHS_WORK.format(count="len(backend.encode(tokenizer.apply_chat_template(messages, tokenize=False)).ids)"),
    ),
    "checkpoint": (
        "import trainguard\ncheck = getattr(trainguard, more[0])",
        """
said = []
for number in range(7):
    start = time.perf_counter()
    found = check(path)
    said.append([time.perf_counter() - start, [f.code for f in found if f.severity != "info"]])
    if sum(each[0] for each in said) > 20:
        break
""",
    ),
}


# parallelogram takes a null content beside tool_calls for a mistake, and exits with 2.
_ANY_EXIT = "import subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)"


@dataclass(slots=True)
class Series:
    """What a tool did, round by round. `bytes` is the size of what it read."""

    name: str
    bytes: int
    seconds: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [self.bytes / each / 1e6 for each in self.seconds]

    @property
    def peak(self) -> float:
        return max(self.peaks) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    what: str
    measured: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        return not (
            (self.least is not None and self.measured < self.least)
            or (self.most is not None and self.measured > self.most)
        )


def main() -> int:
    """0 all targets are met; 1 one is not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each process is timed (default 3)")
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="size of the chat file (default 1 GB)")
    parser.add_argument("--quick", action="store_true", help="100 MB, small hostile files, one round; not for the page")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "environments", help="where environments are")
    parser.add_argument("--scratch", type=Path, help="where files are generated (default: the temporary folder)")
    parser.add_argument("--only", choices=[*_PARTS], action="append", help="this part; may be given again")
    parser.add_argument("--no-page", action="store_true", help=f"do not write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if options.quick:
        options.bytes, options.rounds = min(options.bytes, 100_000_000), 1
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    parts = options.only or list(_PARTS)
    sections: list[str] = []
    targets: list[Target] = []
    with tempfile.TemporaryDirectory(prefix="trainguard-bench-data-", dir=options.scratch) as scratch:
        for name in parts:
            lines, more = _PARTS[name](Path(scratch), options)
            sections += ["", *lines]
            targets += more
            print("\n".join(lines), flush=True)
    rows = [("target", "measured", "met"), *map(shown, targets)]
    section = "\n".join([*_head(options), *aligned(rows), *sections])
    print("\n".join(["", *aligned(rows)]))
    if not (options.no_page or options.only or options.quick):
        write_section(section)
    return 0 if all(target.met for target in targets) else 1


def _head(options: argparse.Namespace) -> list[str]:
    where = f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return [
        "## Training data and checkpoints",
        "",
        f"Measured in one run on {where}, {options.rounds} rounds in turn. A ratio is the median over",
        "the rounds of one throughput by the other of the same round. The files are generated, and in the page cache.",
        "The memory is the most that a process and all that it starts hold together.",
        "",
    ]


# -- speed -------------------------------------------------------------------------------------


def speed(scratch: Path, options: argparse.Namespace) -> tuple[list[str], list[Target]]:
    """A valid file and one in which every line is broken, beside the other tools."""
    valid, broken, part = scratch / "chat.jsonl", scratch / "broken.jsonl", scratch / "part.jsonl"
    rows = write_chat(valid, options.bytes)
    write_broken(broken, options.bytes)
    write_chat(part, options.bytes // _SLOW_SHARE)
    here, folder = sys.executable, options.folder.resolve()
    others = {name: environment(folder, name) for name in ("datasets", "together", "parallelogram")}
    strictly = [str(Path(others["parallelogram"]).with_name("parallelogram")), "check"]
    check = [here, "-m", "trainguard", "check", "--fail-on", "never"]
    todo: list[tuple[str, Path, Callable[[Path], tuple[float, int]]]] = [
        ("trainguard, `check_data`", valid, lambda path: timed(here, "trainguard", path)),
        ("trainguard, `check_data`, every line broken", broken, lambda path: timed(here, "trainguard", path)),
        ("trainguard, whole `trainguard check`", valid, lambda path: whole([*check, str(path)])),
        ("iteration over the lines, one process", valid, lambda path: timed(here, "lines", path)),
        ("together, `check_file`", valid, lambda path: timed(others["together"], "together", path)),
        ("datasets, `load_dataset`", valid, lambda path: loaded(others["datasets"], path, scratch / "cache")),
        (
            "parallelogram, whole `parallelogram check`",
            part,
            lambda path: whole([here, "-c", _ANY_EXIT, *strictly, str(path)]),
        ),
    ]
    series = [Series(name, path.stat().st_size) for name, path, _ in todo]
    for _ in range(options.rounds):
        for each, (_, path, run) in zip(series, todo, strict=True):
            seconds, peak = run(path)
            each.seconds.append(seconds)
            each.peaks.append(peak)
    ours, ours_broken, command, lines, together, loading, strict = series
    best = max((together, strict), key=lambda each: median(each.rates))
    table = [("reader", "MB/s", "of trainguard's time", "memory")]
    table += [
        (each.name, f"{median(each.rates):.0f}", f"{1 / ratio(each, ours):.2f}", f"{each.peak:.0f} MB")
        for each in series
    ]
    note = [
        f"A chat file of {ours.bytes / 1e6:.0f} MB, {rows} rows; parallelogram, which needs minutes for all of it,"
        " reads a file of a tenth.",
        "",
    ]
    return note + aligned(table), [
        Target(what="throughput, by `datasets.load_dataset`", measured=ratio(ours, loading), unit="x", least=4),
        Target(what=f"throughput, by {best.name.split(',')[0]}", measured=ratio(ours, best), unit="x", least=4),
        Target(what="throughput, by iteration over the lines", measured=ratio(ours, lines), unit="x", least=1),
        Target(what="throughput, every line broken by valid", measured=ratio(ours_broken, ours), unit="x", least=0.5),
        Target(what="memory, valid", measured=max(ours.peak, command.peak), unit="MB", most=300),
        Target(what="memory, every line broken", measured=ours_broken.peak, unit="MB", most=300),
    ]


def timed(python: str, script: str, path: Path, *more: str) -> tuple[float, int]:
    """Seconds of the work of one of the scripts, and the peak of its processes."""
    answer, run_peak = answered(python, script, path, *more)
    return float(str(answer["seconds"])), run_peak


def answered(python: str, script: str, path: Path, *more: str) -> tuple[dict[str, object], int]:
    imports, work = _SCRIPTS[script]
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        text = _TIMED.format(imports=imports, work=work)
        run = run_watched([python, "-c", text, str(path), file.name, *more])
        return json.loads(Path(file.name).read_text()), run.peak_bytes


def whole(command: list[str]) -> tuple[float, int]:
    run = run_watched(command)
    return run.seconds, run.peak_bytes


def loaded(python: str, path: Path, cache: Path) -> tuple[float, int]:
    """`load_dataset` with an empty cache, as for somebody who has not loaded this file before."""
    shutil.rmtree(cache, ignore_errors=True)
    result = timed(python, "datasets", path, str(cache))
    shutil.rmtree(cache)
    return result


def ratio(one: Series, other: Series) -> float:
    """Throughput by throughput, the median over the rounds."""
    return median(a / b for a, b in zip(one.rates, other.rates, strict=True))


def environment(folder: Path, name: str) -> str:
    """The interpreter of an environment with one of the other tools, built if it is not there."""
    place = folder / f"data-{'-'.join(_ENVIRONMENTS[name]).replace('==', '-')}"
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        venv.create(place, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *_ENVIRONMENTS[name]]
        subprocess.run(command, check=True)
        (place / "complete").touch()
    return str(python)


# -- lengths -------------------------------------------------------------------------------------


def lengths(scratch: Path, options: argparse.Namespace) -> tuple[list[str], list[Target]]:
    """With a tokenizer and max_length, beside loops that tokenize every line."""
    path, model = scratch / "lengths.jsonl", scratch / "tokenizer"
    rows = write_chat(path, max(20_000_000, options.bytes // _LOOP_SHARE))
    python = environment(options.folder.resolve(), "transformers")
    trained(python, path, model)
    todo = {
        "trainguard, `check_data` with tokenizer": (sys.executable, "trainguard lengths"),
        "loop: `apply_chat_template` per line": (python, "template loop"),
        "loop: template, then `tokenizers` encode per line": (python, "encode loop"),
    }
    series = [Series(name, path.stat().st_size) for name in todo]
    for _ in range(options.rounds):
        for each, (interpreter, script) in zip(series, todo.values(), strict=True):
            seconds, peak = timed(interpreter, script, path, str(model))
            each.seconds.append(seconds)
            each.peaks.append(peak)
    said, _ = answered(python, "encode loop", path, str(model))
    ours, template, encode = series
    table = [("reader", "MB/s", "of trainguard's time", "memory")]
    table += [
        (each.name, f"{median(each.rates):.1f}", f"{1 / ratio(each, ours):.2f}", f"{each.peak:.0f} MB")
        for each in series
    ]
    return [
        f"A byte-level BPE of 32,000 pieces trained on the same words, max_length {_MAX_LENGTH};"
        f" {path.stat().st_size / 1e6:.0f} MB, {rows} rows, of which {said['said']} are longer.",
        "",
        *aligned(table),
    ], [
        Target(what="lengths, by `apply_chat_template` per line", measured=ratio(ours, template), unit="x", least=5),
        Target(what="lengths, by encode per line", measured=ratio(ours, encode), unit="x", least=5),
    ]


def trained(python: str, path: Path, model: Path) -> None:
    """Trains the tokenizer and saves it with a chat template, as transformers saves one."""
    text = """
import itertools, json, sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=32000, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
rows = (json.loads(line)["messages"] for line in itertools.islice(open(sys.argv[1], "rb"), 8000))
tokenizer.train_from_iterator((m["content"] or "" for row in rows for m in row), trainer)
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
fast.chat_template = sys.argv[3]
fast.save_pretrained(sys.argv[2])
"""
    subprocess.run([python, "-c", text, str(path), str(model), _TEMPLATE], check=True, stderr=subprocess.DEVNULL)


# -- hostile files ---------------------------------------------------------------------------------


def attacks(scratch: Path, options: argparse.Namespace) -> tuple[list[str], list[Target]]:
    """Every hostile file, each in a process of its own."""
    table = [("hostile file", "said", "right", "seconds", "memory")]
    small = [("", 0.0, 0)]
    wrong = 0
    slowest, largest = 0.0, 0
    for case in HOSTILE:
        folder = Path(tempfile.mkdtemp(dir=scratch))
        path = case.make(folder, options.quick)
        if "\0" in str(path):  # cannot be an argument of a process
            continue
        answer, peak = answered(sys.executable, "trainguard", path)
        seconds, said = float(str(answer["seconds"])), answer["said"]
        assert isinstance(said, list)
        right = rightly(case, said)
        wrong += not right
        slowest, largest = max(slowest, seconds), max(largest, peak)
        if case.large or not right:
            loud = ", ".join(f"{code} at {line}" if line else code for code, how, line in said if how != "info")
            cells = (loud or "nothing", "yes" if right else "NO", f"{seconds:.2f}", f"{peak / 1e6:.0f} MB")
            table.append((case.name, *cells))
        else:
            small.append((case.name, seconds, peak))
        shutil.rmtree(folder, ignore_errors=True)
    seconds, peak = max(each[1] for each in small), max(each[2] for each in small)
    table.append(
        (f"{len(small) - 1} small ones, the worst of each", "", "yes", f"{seconds:.2f}", f"{peak / 1e6:.0f} MB")
    )
    return [f"{len(HOSTILE)} hostile files (`benchmarks/hostile_data`).", "", *aligned(table)], [
        Target(what="hostile files about which something else is said", measured=wrong, unit="", most=0),
        Target(what="slowest hostile file", measured=slowest, unit="s", most=10),
        Target(what="most memory for a hostile file", measured=largest / 1e6, unit="MB", most=500),
    ]


def rightly(case: Hostile, said: list[list[object]]) -> bool:
    loud = [(code, line) for code, severity, line in said if severity != "info"]
    if not case.codes:
        return not loud
    return any(code in case.codes and (case.line is None or line == case.line) for code, line in loud)


# -- checkpoints -----------------------------------------------------------------------------------


def checkpoints(scratch: Path, _options: argparse.Namespace) -> tuple[list[str], list[Target]]:
    """A checkpoint folder of a 7B model, sparse: as it should be, and as a crash leaves it."""
    table = [("call", "folder", "first", "median of those after", "said", "memory")]
    targets = []
    size = 0
    for kind, holes in (("whole", False), ("tensors of zeros", True)):
        place = write_checkpoint(scratch / kind.replace(" ", "-"), holes=holes)
        size = sum(path.stat().st_size for path in place.iterdir())
        for name in ("check_model", "check_checkpoint"):
            answer, peak = answered(sys.executable, "checkpoint", place, name)
            times = answer["said"]
            assert isinstance(times, list)
            middle = median(seconds for seconds, _ in times[1:] or times) * 1000
            said = ", ".join(sorted(set(times[0][1]))) or "nothing"
            first = f"{times[0][0] * 1000:.0f} ms"
            table.append((f"`{name}`", kind, first, f"{middle:.1f} ms", said, f"{peak / 1e6:.0f} MB"))
            targets.append(Target(what=f"`{name}` of a 7B folder, {kind}", measured=middle, unit="ms", most=100))
    return [f"A folder of {size / 1e9:.1f} GB: true headers, hardly any tensor data.", "", *aligned(table)], targets


_PARTS = {"speed": speed, "lengths": lengths, "hostile": attacks, "checkpoint": checkpoints}


# -- what is shown -------------------------------------------------------------------------------


def shown(target: Target) -> tuple[str, ...]:
    unit = f" {target.unit}" if target.unit else ""
    bound = f"at least {target.least:g}{unit}" if target.least is not None else f"at most {target.most:g}{unit}"
    digits = 0 if target.unit in ("MB", "") else 2
    what = f"{target.what}: {bound}"
    return what, f"{target.measured:.{digits}f}{unit}", "yes" if target.met else "NO"


def aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The rows as Markdown, columns aligned for the terminal too."""
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |" for row in table]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def write_section(section: str) -> None:
    """Puts the section into docs/benchmarks.md, in the place of the last one."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(f"{before.rstrip()}\n\n{_BEGIN}\n\n{section}\n\n{_END}\n{after.lstrip()}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
