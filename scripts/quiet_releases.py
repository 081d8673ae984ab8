"""Checks the scripts that each release of trl ships with the API rules, for a job that pins this very release.

    python scripts/quiet_releases.py [--wheels FOLDER] [--only VERSION] [--select RULES]

They are the modules of `trl/scripts`, `trl/commands` and `trl/cli` and the others with a main guard, taken from the
wheels of all indexed releases; pip fetches the wheels, into a temporary folder or the one that is given. The library's
own scripts work with their own release, so that a finding is a false alarm until somebody has read the script and
written into scripts/quiet_releases.toml why it is true (a deprecated argument that trl itself passes, say).

Prints a table and every finding. Exit code 1 if an unexplained finding is of severity error, or if there is more than
one to 200 scripts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from trainguard.asking import Options
from trainguard.check import check_job
from trainguard.findings import Finding
from trainguard.libraries.api.index import open_index

REASONS = Path(__file__).with_suffix(".toml")
_FOLDERS = ("trl/scripts/", "trl/commands/", "trl/cli/")
_SCRIPTS_TO_ONE_FALSE_FINDING = 200


def main() -> int:
    """0 quiet; 1 not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="where wheels are kept (default: temporary)")
    parser.add_argument("--only", action="append", metavar="VERSION", help="only this release; may be repeated")
    parser.add_argument("--select", default="API", help="the rules to ask (default API)")
    options = parser.parse_args()
    versions = [version for version in open_index().versions("trl") if version in (options.only or [version])]
    found: list[tuple[str, str, Finding]] = []
    scripts = 0
    print("| trl | scripts | error | warn | info |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for version in versions:
            texts = shipped(wheel(version, options.wheels or Path(temporary)))
            scripts += len(texts)
            here = [(path, finding) for path, text in texts.items() for finding in check(text, version, options.select)]
            counts = [sum(f.severity == severity for _, f in here) for severity in ("error", "warn", "info")]
            print(f"| {version} | {len(texts)} | " + " | ".join(map(str, counts)) + " |", flush=True)
            found += [(version, path, finding) for path, finding in here]
    return judged(scripts, found)


def judged(scripts: int, found: Iterable[tuple[str, str, Finding]]) -> int:
    """Prints the findings, the unexplained ones in full, and says whether that is quiet."""
    explained = tomllib.loads(REASONS.read_text(encoding="utf-8"))["true"]
    false, errors, true = 0, 0, 0
    for version, path, finding in found:
        if finding.severity == "info":
            continue
        if any(explains(entry, version, path, finding) for entry in explained):
            true += 1
            continue
        false += 1
        errors += finding.severity == "error"
        line = finding.where.line if finding.where else "?"
        print(f"trl {version} {path}:{line}: {finding.severity} {finding.code} {finding.message}")
    print(f"{scripts} scripts; findings: {true} explained, {false} not, {errors} of these errors")
    return 1 if errors or false * _SCRIPTS_TO_ONE_FALSE_FINDING > scripts else 0


def explains(entry: dict[str, Any], version: str, path: str, finding: Finding) -> bool:
    """Whether an entry of the file of reasons speaks of this finding."""
    of_script = path.rpartition("/")[2] in entry["scripts"] and finding.code in entry["codes"]
    return of_script and version in SpecifierSet(entry["versions"])


def wheel(version: str, folder: Path) -> Path:
    """The wheel of a release of trl, fetched if it is not in the folder. Raises CalledProcessError without it."""
    path = folder / f"trl-{version}-py3-none-any.whl"
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([*command, "--dest", str(folder), "--only-binary", ":all:", f"trl=={version}"], check=True)
    return path


def shipped(path: Path) -> dict[str, str]:
    """The scripts in a wheel by their path in it."""
    texts: dict[str, str] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith("trl/") and name.endswith(".py") and not name.endswith("/__init__.py"):
                text = archive.read(name).decode("utf-8")
                if name.startswith(_FOLDERS) or "__main__" in text:
                    texts[name] = text
    return texts


def check(text: str, version: str, select: str) -> list[Finding]:
    """The findings on one script. Raises RuntimeError if a rule failed."""
    job = {"script": text, "dependencies": [f"trl=={version}"]}
    findings: list[Finding] = []
    for report in check_job(job, options=Options(select=tuple(select.split(",")))):
        if report.errors or report.unreadable:
            raise RuntimeError(f"trl {version}: {report.errors or report.unreadable}")
        findings += report.findings
    return findings


if __name__ == "__main__":
    sys.exit(main())
