"""Puts the true output of its commands into README.md: `python scripts/readme.py [--check]`.

In a `console` block everything below the line with `$ trainguard ...` is what that command prints. With
`--check` nothing is written, and the exit code is 1 when the file would change.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_BLOCK = re.compile(r"(?<=```console\n)\$ trainguard (?P<arguments>.*)\n[^`]*(?:`(?!``)[^`]*)*(?=```\n)")


def output(match: re.Match[str]) -> str:
    """The block with what its command prints now."""
    arguments = shlex.split(match["arguments"])
    command = [sys.executable, "-m", "trainguard", *arguments, "--color", "never"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"`trainguard {match['arguments']}` failed with exit code {done.returncode}:\n{done.stderr}")
    return f"$ trainguard {match['arguments']}\n{done.stdout.rstrip()}\n"


def main() -> int:
    before = README.read_text(encoding="utf-8")
    after = _BLOCK.sub(output, before)
    if "--check" not in sys.argv[1:]:
        README.write_text(after, encoding="utf-8")
    elif before != after:
        print("README.md shows what the command line does not print any more: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
