"""What is done to the page's HTML on its way out: a script that runs before Gradio's, and compression."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

END_OF_HEAD = b"</head>"
EFFORT = 5  # of gzip, 1-9: the description of eight tabs shrinks from 2 MB to a tenth in 15 ms


def with_script(html: bytes, script: str) -> bytes:
    """``html`` with ``script`` as the last thing in its head; unchanged when it has none."""
    before, found, after = html.partition(END_OF_HEAD)
    return b"".join([before, b"<script>", script.encode(), b"</script>", found, after]) if found else html


class FrontPage:
    """ASGI middleware for the page itself; every other answer, streams above all, passes untouched.

    script: run after the page's description (``window.gradio_config``) is there and before Gradio's own scripts, which
    are modules and wait for the whole page. Gradio's ``head`` cannot do that: it is added by those scripts.
    """

    def __init__(self, app: Application, script: str) -> None:
        self.app = app
        self.script = script

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        start: Message = {}
        chunks: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._answer(start, b"".join(chunks), b"gzip" in accepted, send)

        await self.app(scope, receive, collect)

    async def _answer(self, start: Message, body: bytes, compress: bool, send: Send) -> None:
        headers = MutableHeaders(raw=list(start["headers"]))
        if headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers:
            body = with_script(body, self.script)
            headers.add_vary_header("Accept-Encoding")
            if compress:
                body = gzip.compress(body, EFFORT, mtime=0)
                headers["content-encoding"] = "gzip"
            headers["content-length"] = str(len(body))
        await send({**start, "headers": headers.raw})
        await send({"type": "http.response.body", "body": body})
