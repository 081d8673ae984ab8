"""Links of the written pages lead somewhere. (The generated pages have tests of their own.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    missing = [link for link in _LINK.findall(text) if not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_opens_with_the_two_commands() -> None:
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.strip()]
    assert lines[0] == "# trainguard"
    assert [line.split("#")[0].strip() for line in lines[2:4]] == ["make demo", "make test"]


def test_the_page_of_the_daemon_explains_every_code() -> None:
    from trainguard.daemon import remains
    from trainguard.queue.codes import QUEUE_ABOUT, QUEUE_CODES

    page = (ROOT / "docs/daemon.md").read_text(encoding="utf-8")
    told = {code: (name, QUEUE_ABOUT[code]) for code, (name, _) in QUEUE_CODES.items()}
    told[remains.CODE] = (remains.NAME, remains.ABOUT)
    rows = [f'| <a id="{code.lower()}"></a>{code} | {name} | {about} |' for code, (name, about) in told.items()]
    assert [line for line in page.splitlines() if line.startswith("| <a id=")] == rows
