"""A client that disconnects while it sends causes no server error."""

import asyncio
import logging

import pytest
from fastapi import FastAPI
from starlette.types import Message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/optunapi/v1/studies/m/trials"),
        ("POST", "/optunapi/v1/studies/m/import"),
        ("PUT", "/optunapi/v1/studies/new"),
    ],
)
def test_a_body_that_breaks_off_is_logged_as_no_fault(
    app: FastAPI, method: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    coming: list[Message] = [
        {"type": "http.request", "body": b'{"worker": ', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
    }
    with caplog.at_level(logging.WARNING):
        asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert caplog.records == []
