"""The page of the prediction server: a form, a canvas or an editor for each served model.

routes(lambda: [{"name": "babyweight", "version": "1795430780", "schema": {...}, "signatures": {...}}])

Its files are the folder `pages`: read once, sent as they are, and asking nothing of any other host.
"""

from collections.abc import Callable
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trainer import strictjson


INDEX = "index.html"
MEDIA_TYPES = {  # not the machine's own table, which may call a module of JavaScript plain text
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes(describe: Callable[[], list[dict[str, Any]]]) -> list[BaseRoute]:
    """`/` and `/page/<file>` for each file of the folder, and `/page/models.json`: what `describe` says when asked."""

    def models(_: Request) -> Response:
        return Response(strictjson.dumps(describe()), 200, HEADERS | {"Cache-Control": "no-store"}, "application/json")

    # A route a file: no path is ever made of what a request holds.
    static = [_route(path, file.read_bytes(), _media_type(file.name)) for path, file in _files().items()]
    return [*static, Route("/page/models.json", models)]


def open_paths() -> frozenset[str]:
    """The paths that say nothing of the models: a page that asks for a token must be readable without one."""
    return frozenset(_files())


def _files() -> dict[str, Any]:
    """The files of the page by the path of each."""
    files = sorted(resources.files("trainer.serving").joinpath("pages").iterdir(), key=lambda file: file.name)
    known = [file for file in files if _media_type(file.name)]
    return {"/" if file.name == INDEX else f"/page/{file.name}": file for file in known}


def _media_type(name: str) -> str | None:
    return MEDIA_TYPES.get(name.rpartition(".")[2])


def _route(path: str, content: bytes, media_type: str | None) -> BaseRoute:
    def send(_: Request) -> Response:
        return Response(content, 200, HEADERS | {"Cache-Control": "no-cache"}, media_type)

    return Route(path, send)
