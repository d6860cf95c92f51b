"""What every service says about itself: health, readiness, its problems, its OpenAPI document, a page listing it."""
from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from chassis.executor import Answer
from chassis.http.problems import Problem, Problems, Trouble, Turned
from chassis.http.serve import Request, Serve, wants_page


class NotReady(str):
    """A no, and a code that says why."""

    __slots__ = ()


Ready = Callable[[], Awaitable[bool | str]]
"""Whether a caller should come to this process now. A text is a yes, too: its consumer is stopped, by that class."""

HTML = "text/html; charset=utf-8"


async def health(_: Request) -> Answer:
    """The process is alive; says nothing about what it needs."""
    return _json({"alive": True})


def readiness(ready: Ready) -> Serve:
    """Whether this process can serve."""

    async def serve(_: Request) -> Answer:
        found = await ready()
        if isinstance(found, NotReady):
            return _json({"ready": False, "because": found}, 503)
        braked = {"braked_by": found} if isinstance(found, str) else {}
        return _json({"ready": bool(found), **braked}, 200 if found else 503)

    return serve


def problem_list(problems: Problems) -> Serve:
    """All the ways this service says no."""
    rows = [_row(type_, problem) for type_, problem in problems.pages().items()]
    page = html_page(f"{problems.service}: problems", _table(("type", "status", "title"), rows))

    async def serve(request: Request) -> Answer:
        return page if wants_page(request) else _json(rows)

    return serve


def problem_page(problems: Problems) -> Serve:
    """The page to which a problem's `type` resolves."""
    pages = problems.pages()

    async def serve(request: Request) -> Answer:
        path: str = request.scope["path"]
        if path not in pages:
            raise Turned(Trouble.NOT_FOUND)
        row = _row(path, pages[path])
        if not wants_page(request):
            return _json(row)
        return html_page(str(row["title"]), _table(("type", "status", "title"), [row]))

    return serve


def openapi_document(document: Callable[[], Mapping[str, Any]]) -> Serve:
    """The OpenAPI document as JSON, made at the first request."""
    made: list[Answer] = []

    async def serve(_: Request) -> Answer:
        if not made:
            made.append(_json(document()))
        return made[0]

    return serve


def listing(document: Callable[[], Mapping[str, Any]]) -> Serve:
    """The OpenAPI document as a plain page: no script, no style, nothing fetched from elsewhere."""

    async def serve(_: Request) -> Answer:
        described = document()
        rows = list(_operations(described))
        table = _table(("method", "path", "summary", "description"), rows)
        return html_page(f"{described['info']['title']} {described['info']['version']}", table)

    return serve


def _operations(document: Mapping[str, Any]) -> Iterator[Mapping[str, object]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield {"method": method.upper(), "path": path, **operation}


def _row(type_: str, problem: Problem) -> Mapping[str, object]:
    return {"type": type_, "status": int(problem.status), "title": problem.title}


def _json(content: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(content, ensure_ascii=False).encode(), (("content-type", "application/json"),))


PAPER: Final = """
@page { size: A4; margin: 20mm }
body { font: 11pt/1.4 sans-serif; max-width: 48em; margin: 1em auto; padding: 0 1em }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid; padding: .3em .5em; text-align: left; vertical-align: top }
tr { break-inside: avoid }
td ul { margin: 0; padding-left: 1.2em }
aside { border: 2px solid; padding: 0 1em; margin-bottom: 2em }
.sign { margin-top: 4em; border-top: 1px solid; width: 20em }
@media print { aside { display: none } body { margin: 0; max-width: none; padding: 0 } }
"""
"""The style of a page that becomes a sheet of paper: an `aside` is for the screen alone, `.sign` is where to sign."""


def html_page(title: str, content: str, *, language: str = "en", style: str = "", status: int = 200) -> Answer:
    """A whole page. `content` is HTML whose every value is escaped already; `style` is all the style it has.

    No script runs and nothing is fetched from elsewhere: the policy names this style by its hash (CSP 3), and forms go
    back to where the page came from.
    """
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    style_only = f"default-src 'none'; style-src 'sha256-{hashed}'"
    policy = f"{style_only}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    styled = f"<style>{style}</style>" if style else ""
    page = (
        f'<!doctype html>\n<html lang="{escape(language)}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>{styled}'
        f"</head><body><main><h1>{escape(title)}</h1>{content}</main></body></html>\n"
    )
    return Answer(status, page.encode(), (("content-type", HTML), ("content-security-policy", policy)))


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Of cells that are HTML already; without a head the first cell of a row is its name."""
    first = "<td>{}</td>" if head else '<th scope="row">{}</th>'
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    lines = "".join(
        "<tr>" + first.format(row[0]) + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{titles}</tr>' if head else ''}{lines}</table>"


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = (
        "<tr>" + "".join(f"<td>{escape(str(row.get(column, '')))}</td>" for column in columns) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"
