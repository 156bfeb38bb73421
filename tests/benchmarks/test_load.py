"""What wrk is told, and what is understood of its answer."""

from uuid import UUID

import pytest

from benchmarks import load
from benchmarks.report import BenchmarkFailed
from benchmarks.workloads import Request

TENANT = UUID("01a203e5-eb1a-70c5-ad84-b7c3fd1ef971")

GOOD = """\
Running 1s test @ http://127.0.0.1:8000
Requests/sec:   3769.00
bellbird: {"requests": 3800, "seconds": 1.01, "p50_ms": 4.2, "p99_ms": 9.5, "refused": 0, "broken": 0}
"""


def test_what_wrk_saw_is_read() -> None:
    seen = load.read(GOOD)

    assert (seen.requests, seen.p50_ms, seen.p99_ms) == (3800, 4.2, 9.5)
    assert seen.rps == pytest.approx(3762, abs=1)


@pytest.mark.parametrize(
    "output",
    [
        GOOD.replace('"refused": 0', '"refused": 7'),
        GOOD.replace('"broken": 0', '"broken": 1'),
        GOOD.replace('"requests": 3800', '"requests": 0'),
        "  Non-2xx or 3xx responses: 3800\n" + GOOD,
    ],
)
def test_a_load_that_was_not_answered_well_is_no_figure(output: str) -> None:
    with pytest.raises(BenchmarkFailed, match="requests"):
        load.read(output)


def test_wrks_own_complaint_is_passed_on() -> None:
    with pytest.raises(BenchmarkFailed, match="unable to connect"):
        load.read("", "unable to connect to 127.0.0.1:8000 Connection refused")


def test_a_lua_string_has_the_very_bytes() -> None:
    assert load.quoted(b'a"b\\c\r\n1') == '"a\\034b\\092c\\013\\0101"'
    assert load.quoted("ā".encode()) == '"\\196\\129"'


def test_the_body_goes_with_its_length_in_bytes() -> None:
    sent = load.raw(Request(TENANT, "POST", "/api/v1/contacts", '{"first_name":"Tāne"}'.encode()), "token")

    assert sent.startswith(b"POST /api/v1/contacts HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer token\r\n" in sent
    assert b"\r\nContent-Length: 22\r\n" in sent
    assert sent.endswith('\r\n\r\n{"first_name":"Tāne"}'.encode())


def test_the_script_has_every_request() -> None:
    requests = [Request(TENANT, "GET", f"/api/v1/contacts?q={at}") for at in range(3)]

    script = load.script(requests, {TENANT: "token"})

    assert script.isascii()
    assert [line for line in script.splitlines() if line.startswith('  "GET ')] == [
        f"  {load.quoted(load.raw(request, 'token'))}," for request in requests
    ]
    assert "at = at % #requests + 1" in script


def test_without_wrk_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(BenchmarkFailed, match="apt install wrk"):
        load.program()
