"""Which pages of other origins may call the API from a browser."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from bellbird.core.settings import SettingsInvalid, load
from tests.small_app import client, small_app

APP = "https://app.example.com"
PREFLIGHT = {
    "Origin": APP,
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization, content-type, if-match",
}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    origins = f"{APP}, http://localhost:5173"
    async with client(small_app(cors_origins=origins, request_timeout=0.2)) as made:
        yield made


def allowed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


async def test_no_page_of_another_origin_may_unless_it_is_set() -> None:
    async with client(small_app()) as http:
        assert allowed((await http.get("/plain", headers={"Origin": APP})).headers) == {}
        assert allowed((await http.options("/plain", headers=PREFLIGHT)).headers) == {}


async def test_a_browser_that_asks_first_is_told_what_it_may_send(http: httpx.AsyncClient) -> None:
    answer = await http.options("/echo", headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    told = allowed(answer.headers)
    assert told["access-control-allow-origin"] == APP
    assert "PATCH" in told["access-control-allow-methods"]
    assert told["access-control-allow-headers"] == "authorization, content-type, if-match"
    assert told["access-control-max-age"] == "7200"
    assert "access-control-allow-credentials" not in told
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("wanted", ["<script>", "a b", "x" * 2000, ""])
async def test_what_is_no_list_of_headers_is_not_repeated(http: httpx.AsyncClient, wanted: str) -> None:
    answer = await http.options("/echo", headers={**PREFLIGHT, "Access-Control-Request-Headers": wanted})
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"


@pytest.mark.parametrize("origin", ["https://evil.example.com", "http://app.example.com", f"{APP}.evil.com", "null"])
async def test_another_origin_is_told_nothing(http: httpx.AsyncClient, origin: str) -> None:
    answer = await http.options("/echo", headers={**PREFLIGHT, "Origin": origin})
    assert allowed(answer.headers) == {}
    got = await http.get("/plain", headers={"Origin": origin})
    assert got.status_code == 200
    assert allowed(got.headers) == {}
    assert "Origin" in got.headers["vary"], "a cache must not show this answer to the page that may"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/plain", 200), ("GET", "/nowhere", 404), ("GET", "/forbidden", 403), ("GET", "/fault", 500),
     ("GET", "/slow", 503), ("DELETE", "/plain", 405), ("GET", "/things/" + "x" * 20_000, 414)],
)  # fmt: skip
async def test_a_page_can_read_every_answer_also_what_was_refused(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path, headers={"Origin": APP})
    assert answer.status_code == status
    told = allowed(answer.headers)
    assert told["access-control-allow-origin"] == APP
    exposed = told["access-control-expose-headers"].split(", ")
    assert {"ETag", "Location", "X-Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After", "Idempotency-Replayed",
            "Deprecation", "Sunset"} <= set(exposed)  # fmt: skip
    assert len(answer.headers.get_list("vary")) == 1


async def test_every_origin_may_when_that_is_set() -> None:
    async with client(small_app(cors_origins="*")) as http:
        answer = await http.get("/plain", headers={"Origin": "https://anybody.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "Origin" not in answer.headers["vary"]


@pytest.mark.parametrize("origins", ["app.example.com", "https://app.example.com/", "https://a.example, nonsense", "*, https://a.example",
                                     "https://*.example.com", "https://App.example.com"])  # fmt: skip
def test_a_setting_that_would_match_nothing_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(SettingsInvalid, match="BELLBIRD_CORS_ORIGINS: must be"):
        load(cors_origins=origins)
