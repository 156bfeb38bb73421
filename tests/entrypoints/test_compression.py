"""Answers that are sent in fewer bytes to whoever can read them."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import zstandard

from bellbird.entrypoints import compression
from tests.small_app import LONG, Raw, client, raw, small_app

CHOICES = [
    ("gzip", "gzip"),
    ("zstd", "zstd"),
    ("gzip, deflate, br, zstd", "zstd"),
    ("gzip, deflate, br", "gzip"),
    ("GZIP", "gzip"),
    ("x-gzip", "gzip"),
    ("zstd;q=0.5, gzip;q=0.8", "gzip"),
    ("zstd;q=0.8, gzip;q=0.8", "zstd"),
    ("zstd;q=0, gzip", "gzip"),
    ("gzip;q=0.001", "gzip"),
    ("*", "zstd"),
    ("*;q=0.1, zstd;q=0", "gzip"),
    ("gzip; q=1.0", "gzip"),
    ("", None),
    ("identity", None),
    ("gzip;q=0", None),
    ("*;q=0", None),
    ("br, deflate", None),
    ("identity, gzip;q=0.5", None),
    ("identity;q=0.5, gzip;q=0.8", "gzip"),
    ("gzip;q=nonsense", "gzip"),
    (",,;;q=1,", None),
    ("gzip, " + "x" * 1000, None),
]


@pytest.mark.parametrize(("accepted", "expected"), CHOICES)
def test_what_the_client_likes_best_is_chosen(accepted: str, expected: str | None) -> None:
    assert compression.chosen(accepted.encode()) == (expected.encode() if expected else None)


@pytest.fixture
def small() -> Any:
    return small_app()


async def got(app: Any, accepted: str, path: str = "/long", method: str = "GET", **headers: str) -> Raw:
    more = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return await raw(app, method, path, [(b"accept-encoding", accepted.encode()), *more])


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_a_long_answer_is_compressed(small: Any, encoding: str) -> None:
    answer = await got(small, encoding)
    assert answer.headers["content-encoding"] == encoding
    assert int(answer.headers["content-length"]) == len(answer.content) < len(json.dumps(LONG)) / 5
    read = zstandard.decompress if encoding == "zstd" else gzip.decompress
    assert json.loads(read(answer.content)) == LONG
    assert answer.headers["etag"] == 'W/"3"', "other bytes, the same meaning"
    assert "Accept-Encoding" in answer.headers["vary"]


@pytest.mark.parametrize("path", ["/plain", "/encoded", "/picture", "/forbidden"])
async def test_what_is_short_or_encoded_or_no_text_is_left_as_it_is(small: Any, path: str) -> None:
    plain, answer = await raw(small, path=path), await got(small, "gzip, zstd", path)
    assert answer.headers.get("content-encoding") == plain.headers.get("content-encoding")
    assert answer.headers.get("etag") == plain.headers.get("etag")
    assert "Accept-Encoding" in answer.headers["vary"]


async def test_events_are_sent_as_they_happen(small: Any) -> None:
    answer = await got(small, "gzip, zstd", "/stream")
    assert "content-encoding" not in answer.headers
    assert answer.content.count(b"data:") == 4


async def test_answers_with_tokens_in_them_are_not_compressed(small: Any) -> None:
    """BREACH: their length would tell what a stranger has guessed of them."""
    answer = await got(small, "gzip, zstd", "/api/v1/auth/sign-in", "POST")
    assert "content-encoding" not in answer.headers
    assert json.loads(answer.content) == LONG


async def test_an_unchanged_answer_has_the_etag_that_it_would_have_had(small: Any) -> None:
    assert (await got(small, "gzip", "/unchanged")).headers["etag"] == 'W/"3"'
    assert (await raw(small, path="/unchanged")).headers["etag"] == '"3"'


async def test_what_a_proxy_may_not_change_is_not_changed_here_either() -> None:
    assert not compression.is_worth_it({
        b"content-length": b"5000", b"content-type": b"application/json", b"cache-control": b"no-transform",
    })  # fmt: skip


async def test_head_tells_what_get_would_send(small: Any) -> None:
    head, answer = await got(small, "gzip", method="HEAD"), await got(small, "gzip")
    assert head.content == b""
    assert head.headers["content-length"] == answer.headers["content-length"]
    assert head.headers["content-encoding"] == "gzip"


@pytest.fixture
async def http(small: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with client(small) as made:
        yield made


async def test_a_client_that_knows_reads_it_without_noticing(http: httpx.AsyncClient) -> None:
    answer = await http.get("/long")
    assert answer.headers["content-encoding"] in ("gzip", "zstd")
    assert answer.json() == LONG


async def test_a_compressed_contact_can_be_changed_with_the_etag_it_came_with(api: httpx.AsyncClient) -> None:
    made = await api.post("/contacts", json={"first_name": "Ann", "custom": {"note": "long " * 400}})
    assert made.status_code == 201, made.text
    path = made.headers["location"].removeprefix("/api/v1")
    read = await api.get(path, headers={"Accept-Encoding": "gzip"})
    assert read.headers["content-encoding"] == "gzip"
    weak = read.headers["etag"]
    assert weak.startswith('W/"1')
    unchanged = await api.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": weak})
    assert (unchanged.status_code, unchanged.headers["etag"]) == (304, weak)
    changed = await api.patch(path, json={"last_name": "Lee"}, headers={"If-Match": weak})
    assert changed.status_code == 200
    assert (await api.patch(path, json={"last_name": "Ng"}, headers={"If-Match": weak})).status_code == 412
