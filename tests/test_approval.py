"""The approval examples: the page shows what the terminal shows, and neither shows more than text."""

from __future__ import annotations

import html
import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples/approval"
TOKEN_IN_ENV = json.loads((ROOT / "examples/jobs/token_in_env.json").read_text(encoding="utf-8"))
DOCKER = json.loads((ROOT / "examples/jobs/docker_default_timeout.json").read_text(encoding="utf-8"))

# Text that would move the cursor, recolour, reverse or run, where it reached a terminal or a browser raw.
HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202eevil\r<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
HOSTILE_NAME = {"hardware_flavor": f"a10g{HOSTILE}", "script": "import torch\nprint(torch.rand(1))\n"}
HOSTILE_FINDINGS = [
    {
        "severity": "warn",
        "message": f"message {HOSTILE}",
        "code": f"JOB002{HOSTILE}",
        "name": f"name{HOSTILE}",
        "where": {"path": f"train{HOSTILE}.py", "line": 3},
        "fix": {"text": f"fix {HOSTILE}"},
    }
]


@pytest.fixture(scope="module")
def example() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import approval
        import terminal
        import web

        yield {"approval": approval, "terminal": terminal, "web": web}


@pytest.fixture
def client(example: dict[str, Any]) -> Iterator[TestClient]:
    with TestClient(example["web"].create_app()) as client:
        yield client


def words(page: str) -> list[str]:
    """What a reader sees: the text of every part of the page, one a list item's line."""
    body = page.split("<body>", 1)[1]
    return [html.unescape(re.sub(r"<[^>]*>", "", part)).strip() for part in re.split(r"<br>|</?(?:li|ul|h\d|p)>", body)]


# -- both sides --------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [TOKEN_IN_ENV, DOCKER, HOSTILE_NAME], ids=["token", "docker", "hostile"])
def test_the_page_shows_exactly_what_the_terminal_shows(
    example: dict[str, Any], client: TestClient, arguments: dict[str, Any]
) -> None:
    answer = client.post("/approvals", json=arguments).json()
    assert answer["findings"] == example["approval"].review(arguments)["findings"] != []

    shown = example["approval"].entries(answer["findings"])
    terminal = [line.strip() for line in example["terminal"].render(shown, colour=False).splitlines()]
    page = [text for text in words(client.get("/").text) if text][2:]  # below the two headings
    assert page == terminal


def test_hostile_text_reaches_neither_the_terminal_nor_the_page(example: dict[str, Any]) -> None:
    shown = example["approval"].entries(HOSTILE_FINDINGS)
    for colour in (False, True):
        text = example["terminal"].render(shown, colour=colour)
        plain = re.sub(r"\x1b\[(?:9[134]|0)m", "", text) if colour else text  # the harness's own colours
        assert all(char.isprintable() for char in plain.replace("\n", ""))
        assert len(text.splitlines()) == 3
    page = example["web"].render(shown)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("<li>") == 1
    assert "\x1b" not in page
    assert "\u202e" not in page


@given(text=st.text())
def test_no_text_breaks_out(text: str) -> None:
    module = runpy.run_path(str(FOLDER / "approval.py"))
    (entry,) = module["entries"]([{"severity": "warn", "message": text}])
    assert entry.message.isprintable()


def test_a_finding_with_nothing_but_severity_and_message_is_shown(example: dict[str, Any]) -> None:
    shown = example["approval"].entries([{"severity": "info", "message": "short"}])
    assert example["terminal"].render(shown, colour=False) == "info\n    short"


# -- the web side ------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000], ids=["empty", "cut", "binary", "deep"])
def test_a_body_that_is_not_json_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/approvals", content=body).status_code == 400


def test_a_body_without_end_is_refused(client: TestClient) -> None:
    assert client.post("/approvals", content=b" " * (5 * 1024 * 1024)).status_code == 413


@pytest.mark.parametrize("script", ["/etc/hostname", "../secret.py", "train.py", ""])
def test_a_path_is_never_looked_up_on_the_server(client: TestClient, script: str) -> None:
    assert client.post("/approvals", json={"script": script}).status_code == 422


@pytest.mark.parametrize("arguments", [None, [], 1, "script", {"script": 5}, {"command": {}}])
def test_any_json_gets_an_answer(client: TestClient, arguments: Any) -> None:
    answer = client.post("/approvals", content=json.dumps(arguments))
    assert answer.status_code == 201
    assert isinstance(answer.json()["findings"], list)


def test_the_list_forgets_the_oldest(example: dict[str, Any], client: TestClient, monkeypatch: Any) -> None:
    monkeypatch.setattr(example["web"], "MAX_PENDING", 2)
    for _ in range(3):
        client.post("/approvals", json={})
    assert re.findall(r"Job \d+", client.get("/").text) == ["Job 2", "Job 3"]


def test_the_page_may_run_no_script(client: TestClient) -> None:
    assert client.get("/").headers["content-security-policy"].startswith("default-src 'none'")


# -- the terminal side -------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(TOKEN_IN_ENV), encoding="utf-8")
    return path


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("YES", 0), ("n", 1), ("", 1), ("yeah", 1)])
def test_the_answer_decides(
    example: dict[str, Any], job: Path, monkeypatch: Any, capsys: Any, answer: str, code: int
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert example["terminal"].main([str(job)]) == code
    assert "JOB012" in capsys.readouterr().out


def test_nobody_there_declines(example: dict[str, Any], job: Path, monkeypatch: Any) -> None:
    def nobody(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    assert example["terminal"].main([str(job)]) == 1


@pytest.mark.parametrize("text", [None, "{", "[" * 100_000], ids=["missing", "cut", "deep"])
def test_a_job_that_cannot_be_read_is_said_so(
    example: dict[str, Any], tmp_path: Path, capsys: Any, text: str | None
) -> None:
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert example["terminal"].main([str(path)]) == 2
    assert "other.json" in capsys.readouterr().err
