"""Queries are parsed in linear time, because parsing blocks the event loop."""

import asyncio

import pytest
from fastapi import Request

from optunapi.api.http.queries import KnownQuery
from optunapi.errors import RequestInvalid

NAMES = [f"n{number}" for number in range(200_000)]
KNOWN = KnownQuery(NAMES)


def asked(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


@pytest.mark.timeout(60)  # comparing each name with all others takes far longer
def test_a_query_of_very_many_names_delays_no_other_request() -> None:
    names = "&".join(f"{name}=1" for name in NAMES)
    asyncio.run(KNOWN(asked(names)))
    with pytest.raises(RequestInvalid) as refused:
        asyncio.run(KNOWN(asked(f"{names}&n7=2")))
    assert [error["location"] for error in refused.value.extra["errors"]] == [["query", "n7"]]


@pytest.mark.parametrize("length", [1, 1000])
def test_no_more_errors_are_told_than_anybody_reads(length: int) -> None:
    names = "&".join(f"{'x' * length}{number}=1" for number in range(10_000))
    with pytest.raises(RequestInvalid) as refused:
        asyncio.run(KnownQuery(["state"])(asked(f"{names}&{names}")))
    assert len(refused.value.extra["errors"]) == 100
    assert len(refused.value.detail) + len(str(refused.value.extra)) < 30_000
