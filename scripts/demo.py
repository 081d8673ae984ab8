"""Checks the example jobs, and two scripts that TRL ships, then trains three files under the daemon: `make demo`.

Exit code 0 when the flawed ones are found, each for its own reasons, the clean ones are clean, and the daemon comes
through all that is done to it (`demo_daemon.py`).
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import demo_daemon

ROOT = Path(__file__).resolve().parent.parent
JOBS = Path("examples/jobs")
DATA = Path("examples/data")
NOTEBOOK = str(JOBS / "colab_lora.ipynb")
COMMAND = (sys.executable, "-m", "trainguard")


def main() -> int:
    expected: Mapping[str, Sequence[str]] = json.loads((ROOT / JOBS / "expected.json").read_text(encoding="utf-8"))
    clean = [str(JOBS / name) for name, codes in expected.items() if not codes]
    flawed = [str(JOBS / name) for name, codes in expected.items() if codes and name.endswith(".json")]
    surprises = []

    say("Jobs that are flawed, in ways that are common. Nothing is run: scripts are only read.")
    show("check", *flawed)
    surprises += differences(flawed, expected)

    say("A notebook without a job: the rules that need no job speak.")
    show("check", NOTEBOOK)
    surprises += differences([NOTEBOOK], expected)

    say("Jobs that are fine stay silent, whatever their style.")
    show("check", *clean)
    surprises += differences(clean, expected)

    say("So do the scripts that TRL ships, with a job around that is fine.")
    scripts = trl_scripts()
    for name, script in scripts.items():
        job = f"examples/trl/{name}.json"
        show("check", str(script), "--job", job)
        surprises += [f"{script.name}: {code}" for code in codes_of(str(script), "--job", job).get(script.name, [])]

    say("Training data: what is in it, and what is wrong with it.")
    show("data", str(DATA / "chat.jsonl"))
    show("check", str(DATA / "chat_broken.jsonl"))
    surprises += [f"chat.jsonl: {code}" for code in codes_of(str(DATA / "chat.jsonl")).get("chat.jsonl", [])]
    if "DATA002" not in codes_of(str(DATA / "chat_broken.jsonl")).get("chat_broken.jsonl", []):
        surprises.append("chat_broken.jsonl: no DATA002")

    say("What an approval prompt shows.")
    show("approve", "--job", str(JOBS / "default_timeout.json"), "--yes")

    for surprise in surprises:
        print(f"not as expected: {surprise}", file=sys.stderr)
    if not surprises:
        print(
            f"\nAs expected: {len(flawed)} flawed and {len(clean)} clean jobs, a notebook, {len(scripts)} TRL scripts."
        )
    return 1 if demo_daemon.main() or surprises else 0


def trl_scripts() -> dict[str, Path]:
    """TRL's own training scripts, found without importing it."""
    spec = find_spec("trl")
    if spec is None or spec.origin is None:
        sys.exit("trl is not installed here: run `make demo`, which installs it")
    folder = Path(spec.origin).parent / "scripts"
    return {name: near(folder / f"{name}.py") for name in ("sft", "dpo")}


def near(path: Path) -> Path:
    """`path` from this folder where it lies in it: shorter to read."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def say(text: str) -> None:
    print(f"\n# {text}\n", flush=True)


def show(*arguments: str) -> None:
    """Runs `trainguard` before the user's eyes."""
    words = textwrap.wrap(shlex.join(("trainguard", *arguments)), 110, break_long_words=False, break_on_hyphens=False)
    print("$ " + " \\\n    ".join(words), flush=True)
    subprocess.run([*COMMAND, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)


def codes_of(*arguments: str) -> dict[str, list[str]]:
    """The codes found, by the name of the file or job."""
    done = subprocess.run(
        [*COMMAND, "check", *arguments, "--format", "json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"trainguard check failed with exit code {done.returncode}:\n{done.stderr}")
    reports: list[dict[str, Any]] = json.loads(done.stdout)["reports"]
    return {
        Path(report["subject"]).name: sorted({finding["code"] for finding in report["findings"]}) for report in reports
    }


def differences(paths: Sequence[str], expected: Mapping[str, Sequence[str]]) -> list[str]:
    """Where the codes found are not exactly the expected ones."""
    found = codes_of(*paths)
    names = [Path(path).name for path in paths]
    return [
        f"{name}: found {' '.join(found.get(name, [])) or 'nothing'}, expected {' '.join(expected[name]) or 'nothing'}"
        for name in names
        if found.get(name) != list(expected[name])
    ]


if __name__ == "__main__":
    sys.exit(main())
