"""Rebuild `src/trainguard/libraries/packages.json`: what each distribution requires, by its own metadata.

    python scripts/build_packages.py            # asks PyPI through pip; takes some minutes
    python scripts/build_packages.py --limit 20 # a trial run

The metadata are those that `pip install` itself resolves with, for CPython 3.12 on x86-64 Linux: the newest
release of every seed below and of what it requires, and for the libraries whose requirements changed, some older
releases. Nothing is installed or downloaded but metadata. Never used at run time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

DATA = Path(__file__).parents[1] / "src/trainguard/libraries/packages.json"
SEEDS = Path(__file__).with_name("packages_seeds.txt")
BATCH = 24
# pip takes `--platform` literally: a wheel tagged for an older glibc than the ones named is not seen, and an older
# release of the distribution would be taken in its place.
PLATFORMS = (*(f"manylinux_2_{glibc}_x86_64" for glibc in range(39, 4, -1)), "manylinux2014_x86_64", "linux_x86_64")
ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": "3.12.8",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.12.8",
    "python_version": "3.12",
    "sys_platform": "linux",
}

# Distributions that offer no wheel, so that pip would have to run their build: requirements as their projects state
# them (`setup.py` or `pyproject.toml` of the newest release).
SOURCE_ONLY: Mapping[str, Sequence[str]] = {
    "antlr4-python3-runtime": (),
    "deepspeed": ("einops", "hjson", "msgpack", "ninja", "numpy", "packaging", "psutil", "py-cpuinfo", "pydantic",
                  "torch", "tqdm"),
    "flash-attn": ("torch", "einops"),
    "fire": ("termcolor",),
    "rouge-score": ("absl-py", "nltk", "numpy", "six"),
    "mamba-ssm": ("torch", "ninja", "einops", "triton", "transformers", "packaging", "setuptools"),
    "causal-conv1d": ("torch", "packaging", "ninja"),
    "transformer-engine": ("torch", "pydantic", "packaging"),
    "lomo-optim": (),
    "galore-torch": ("torch", "transformers", "datasets", "bitsandbytes", "evaluate", "lion-pytorch", "loguru",
                     "nvitop", "tensorly"),
    "sacremoses": ("regex", "click", "joblib", "tqdm"),
    "docopt": (),
    "fasttext": ("numpy", "pybind11", "setuptools"),
    "gputil": (),
    "jieba": (),
    "langdetect": ("six",),
    "llama-cpp-python": ("diskcache", "jinja2", "numpy", "typing-extensions"),
    "openai-whisper": ("more-itertools", "numba", "numpy", "tiktoken", "torch", "tqdm", "triton"),
    "pyspark": ("py4j",),
    "torch-cluster": ("scipy",),
    "torch-scatter": (),
    "torch-sparse": ("scipy",),
    "wget": (),
    "wikipedia": ("beautifulsoup4", "requests"),
    "word2number": (),
    "gdown": ("beautifulsoup4", "filelock", "requests", "tqdm"),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=5000, help="stop after so many distributions")
    parser.add_argument("--out", type=Path, default=DATA)
    options = parser.parse_args()
    seeds = [line.strip() for line in SEEDS.read_text().splitlines() if line.strip() and not line.startswith("#")]
    newest = _collect([seed for seed in seeds if not _is_older(seed)], options.limit)
    older = _older_requirements([seed for seed in seeds if _is_older(seed)], newest)
    requires, extras = {}, {}
    for name, (always, by_extra) in sorted(newest.items()):
        requires[name] = always
        if by_extra:
            extras[name] = by_extra
    _write(options.out, requires, extras, older)
    print(f"{len(requires)} distributions, {len(extras)} with extras, {len(older)} with older requirements")
    return 0


def _is_older(seed: str) -> bool:
    return any(sign in seed for sign in "<=>~")


Metadata = tuple[list[str], dict[str, list[str]]]


def _collect(seeds: Sequence[str], limit: int) -> dict[str, Metadata]:
    found: dict[str, Metadata] = {name: (sorted(requires), {}) for name, requires in SOURCE_ONLY.items()}
    queue = [str(canonicalize_name(seed)) for seed in seeds]
    queue += [_bare(requirement) for requires, _ in found.values() for requirement in requires]
    asked = set(found)
    while queue and len(found) < limit:
        wave = [name for name in dict.fromkeys(queue) if name not in asked]
        queue = []
        asked |= set(wave)
        for batch in _batches(wave, BATCH):
            for metadata in _ask(batch):
                name = str(canonicalize_name(metadata["name"]))
                found[name] = _requirements(metadata)
                queue += [_bare(requirement) for requirement in found[name][0]]
            print(f"{len(found)} read", file=sys.stderr, flush=True)
    return found


def _older_requirements(seeds: Sequence[str], newest: Mapping[str, Metadata]) -> dict[str, list[str]]:
    """What older releases require beyond what the newest one does."""
    older: dict[str, set[str]] = {}
    for seed in seeds:
        for metadata in _ask([seed]):
            name = str(canonicalize_name(metadata["name"]))
            now = {_bare(requirement) for requirement in newest.get(name, ([], {}))[0]}
            older.setdefault(name, set()).update(r for r in _requirements(metadata)[0] if _bare(r) not in now)
    return {name: sorted(requirements) for name, requirements in sorted(older.items()) if requirements}


def _ask(names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The metadata of each of `names`; where one cannot be resolved, it alone is left out."""
    if not names:
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet",
                   "--disable-pip-version-check", "--only-binary=:all:", "--python-version", "3.12", "--target", folder,
                   "--report", f"{folder}/report.json"]  # fmt: skip
        for platform in PLATFORMS:
            command += ["--platform", platform]
        done = subprocess.run([*command, *names], capture_output=True, text=True, check=False)
        report = Path(folder, "report.json")
        if done.returncode == 0 and report.exists():
            yield from (item["metadata"] for item in json.loads(report.read_text())["install"])
            return
    if len(names) == 1:
        print(f"left out: {names[0]}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr, flush=True)
        return
    half = len(names) // 2
    yield from _ask(names[:half])
    yield from _ask(names[half:])


def _requirements(metadata: Mapping[str, Any]) -> Metadata:
    parsed: list[Requirement] = []
    for text in metadata.get("requires_dist", ()):
        try:
            parsed.append(Requirement(text))
        except InvalidRequirement:
            continue
    always = {_key(r) for r in parsed if _holds(r, "")}
    by_extra: dict[str, list[str]] = {}
    for extra in metadata.get("provides_extra", ()):
        if added := sorted({_key(r) for r in parsed if _holds(r, extra)} - always):
            by_extra[str(canonicalize_name(extra))] = added
    return sorted(always), dict(sorted(by_extra.items()))


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**ENVIRONMENT, "extra": extra})


def _key(requirement: Requirement) -> str:
    name = str(canonicalize_name(requirement.name))
    extras = ",".join(sorted(str(canonicalize_name(extra)) for extra in requirement.extras))
    return f"{name}[{extras}]" if extras else name


def _bare(key: str) -> str:
    return key.partition("[")[0]


def _batches(names: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def _write(out: Path, requires: object, extras: object, older: object) -> None:
    """One distribution a line, so that a rebuild shows as a readable difference."""
    source = "Requires-Dist of the newest releases on PyPI, CPython 3.12, x86-64 Linux"
    lines = ["{", f' "source": {json.dumps(source)},', f' "date": "{dt.datetime.now(dt.UTC).date().isoformat()}",']
    tables = {"requires": requires, "extras": extras, "older": older}
    for position, (name, table) in enumerate(tables.items()):
        assert isinstance(table, dict)
        rows = [f"  {json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in table.items()]
        closing = "" if position == len(tables) - 1 else ","
        lines += [f' "{name}": {{', ",\n".join(rows), f" }}{closing}"]
    out.write_text("\n".join([*lines, "}", ""]))


if __name__ == "__main__":
    raise SystemExit(main())
