"""The load: wrk, sending real requests over and over."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from benchmarks.report import BenchmarkFailed
from benchmarks.workloads import Request

CONNECTIONS: Final = 16
THREADS: Final = 2
# wrk gives up on an answer after 2 seconds of its own accord; a slow one shall be counted as slow.
PATIENCE: Final = 60


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: requests answered in so many seconds, and how long they took."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rps(self) -> float:
        return self.requests / self.seconds


def program() -> str:
    """Where wrk is. Raises BenchmarkFailed when it is nowhere."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchmarkFailed(
            "The load comes from wrk, which is not installed: apt install wrk (or: brew install wrk)."
        )
    return found


def run(port: int, requests: Sequence[Request], tokens: Mapping[UUID, str], seconds: float) -> Load:
    """Send the requests for some seconds. Raises BenchmarkFailed when any of them is refused."""
    with tempfile.TemporaryDirectory(prefix="bellbird-bench-") as folder:
        path = Path(folder) / "requests.lua"
        path.write_text(script(requests, tokens), encoding="ascii")
        options = [f"-t{THREADS}", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", f"--timeout={PATIENCE}s"]
        ran = subprocess.run(
            [program(), *options, "-s", str(path), f"http://127.0.0.1:{port}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    return read(ran.stdout, ran.stderr)


# wrk's own figures are rounded for people, so the script prints what it knows in a line of its own.
SCRIPT: Final = """\
local requests = {
%s}
local threads = 0
function setup(thread)
  thread:set("at", math.floor(threads * #requests / %d))
  threads = threads + 1
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency, all)
  local errors = summary.errors
  io.write(string.format(
    'bellbird: {"requests": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "refused": %%d, "broken": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def script(requests: Sequence[Request], tokens: Mapping[UUID, str]) -> str:
    """The Lua script that has wrk send the requests in turn, each of its threads from another place on."""
    lines = [f"  {quoted(raw(request, tokens[request.tenant]))},\n" for request in requests]
    return SCRIPT % ("".join(lines), THREADS)


def raw(request: Request, token: str) -> bytes:
    """A request as it goes over the wire."""
    head = [f"{request.method} {request.path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    if request.body:
        head += ["Content-Type: application/json", f"Content-Length: {len(request.body)}"]
    return "\r\n".join([*head, "", ""]).encode() + request.body


def quoted(text: bytes) -> str:
    """A Lua string of these very bytes."""
    plain = {code: chr(code) for code in range(32, 127) if chr(code) not in '"\\'}
    return '"' + "".join(plain.get(code) or f"\\{code:03}" for code in text) + '"'


def read(output: str, complaints: str = "") -> Load:
    """What wrk printed. Raises BenchmarkFailed when anything but success was answered, or nothing at all."""
    line = next((line for line in output.splitlines() if line.startswith("bellbird: ")), None)
    if line is None:
        raise BenchmarkFailed(f"wrk did not finish:\n{output}{complaints}")
    found: dict[str, Any] = json.loads(line.removeprefix("bellbird: "))
    refused, broken = found.pop("refused"), found.pop("broken")
    # wrk's own line counts redirects too, which `refused` does not.
    if "Non-2xx" in output or refused or broken or not found["requests"]:
        raise BenchmarkFailed(
            f"Of {found['requests']} requests, {refused} were answered with an error, {broken} not at all:\n{output}"
        )
    return Load(**found)
