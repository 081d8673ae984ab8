"""The same approval for a browser: `uvicorn --app-dir examples/approval web:app`.

POST /approvals takes the arguments of a submission and answers `{"id": ..., "findings": [...]}`;
GET / shows the jobs that wait for an answer. What a page needs beyond this (who may see it, a store that
survives a restart, the buttons) is the application's own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from html import escape
from itertools import count
from json import loads
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from approval import Entry, entries, review

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_PENDING = 100

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Jobs waiting for approval</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
.error {{ color: #b00020 }} .warn {{ color: #8a5a00 }} .info {{ color: #0b57a4 }}
</style></head>
<body><h1>Jobs waiting for approval</h1>{jobs}</body></html>
"""
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
}


def render(shown: Sequence[Entry]) -> str:
    """The findings as an HTML list. Every word is escaped; the markup is all written here."""
    items = []
    for entry in shown:
        place = f" ({escape(entry.place)})" if entry.place else ""
        fix = f"<br>fix: {escape(entry.fix)}" if entry.fix else ""
        head = (
            f'<strong class="{escape(entry.severity)}">{escape(entry.severity)}</strong> {escape(entry.title)}{place}'
        )
        items.append(f"<li>{head}<br>{escape(entry.message)}{fix}</li>")
    return f"<ul>{''.join(items)}</ul>" if items else "<p>preflight has nothing to say</p>"


def names_a_file(arguments: Any) -> bool:
    """Whether the script is a path. It would be looked up on this server, which is not the sender's machine."""
    script = arguments.get("script") if isinstance(arguments, dict) else None
    return isinstance(script, str) and "\n" not in script and "://" not in script


async def submit(request: Request) -> JSONResponse:
    """Checks a submission and puts it on the list."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return JSONResponse({"error": f"the body is larger than {MAX_BODY_BYTES} bytes"}, status_code=413)
    try:
        arguments = loads(body)
    except (ValueError, RecursionError) as error:
        return JSONResponse({"error": f"the body is not JSON: {error}"}, status_code=400)
    if names_a_file(arguments):
        return JSONResponse({"error": "send the text of the script, not its path"}, status_code=422)
    result = await run_in_threadpool(review, arguments)
    pending: OrderedDict[int, dict[str, Any]] = request.app.state.pending
    number = next(request.app.state.numbers)
    pending[number] = result
    if len(pending) > MAX_PENDING:
        pending.popitem(last=False)
    return JSONResponse({"id": number, **result}, status_code=201)


async def waiting(request: Request) -> HTMLResponse:
    """The page: the JSON form of every waiting job, in words."""
    jobs = [
        f"<h2>Job {number}</h2>{render(entries(result['findings']))}"
        for number, result in request.app.state.pending.items()
    ]
    return HTMLResponse(PAGE.format(jobs="".join(jobs) or "<p>None.</p>"), headers=HEADERS)


def create_app() -> Starlette:
    """A new application with nothing waiting."""
    application = Starlette(routes=[Route("/", waiting), Route("/approvals", submit, methods=["POST"])])
    application.state.pending = OrderedDict()
    application.state.numbers = count(1)
    return application


app = create_app()
