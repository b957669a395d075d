"""A compressed body is refused with what is taken, on every route that reads one."""

import gzip
import json
from typing import Any

import httpx
import pytest

from tests.api.wire import Wire, problem

ENCODINGS = ("gzip", "x-gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip")
BODY = gzip.compress(json.dumps({"worker": "w"}).encode())


def routes_with_a_body(wire: Wire) -> list[tuple[str, str]]:
    document: Any = wire.client.get("/openapi.json").json()
    return [
        (method.upper(), path.format(name="s", n=0, filename="f", id="t", host="h"))
        for path, methods in document["paths"].items()
        for method, declared in methods.items()
        if "requestBody" in declared
    ]


def refused(response: httpx.Response) -> None:
    found = problem(response, 415, "encoding-unsupported")
    assert "without Content-Encoding" in found["detail"]
    assert response.headers["Accept-Encoding"] == "identity"


def test_every_route_refuses_a_compressed_body(wire: Wire, study: str) -> None:
    routes = routes_with_a_body(wire)
    assert len(routes) > 10
    for method, path in routes:
        path = path.replace("/s/", f"/{study}/").replace("/studies/s", f"/studies/{study}")
        with wire.unchanged(study):
            refused(
                wire.client.request(
                    method, path, content=BODY, headers={"Content-Encoding": "gzip"}
                )
            )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_refused(wire: Wire, study: str, encoding: str) -> None:
    with wire.unchanged(study):
        for path in (f"/studies/{study}/trials", f"/studies/{study}/queue"):
            headers = {"Content-Encoding": encoding}
            refused(wire.request("POST", path, content=b"{}", headers=headers))


def test_a_body_that_does_not_say_that_it_is_compressed_is_told_too(wire: Wire, study: str) -> None:
    refused(wire.request("POST", f"/studies/{study}/trials", content=BODY))
    yaml = {"Content-Type": "application/yaml"}
    refused(wire.request("PUT", "/studies/new", content=BODY, headers=yaml))


def test_what_is_not_compressed_is_taken(wire: Wire) -> None:
    name = wire.put()
    for headers in ({"Content-Encoding": "identity"}, {"Content-Encoding": ""}):
        response = wire.request("POST", f"/studies/{name}/trials", content=b"{}", headers=headers)
        assert response.status_code == 201
    empty = wire.request("POST", f"/studies/{name}/trials", headers={"Content-Encoding": "gzip"})
    assert empty.status_code == 201
