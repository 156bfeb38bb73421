"""The README's commands and examples do what it says."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_the_commands_and_the_examples_of_the_readme_run(tmp_path: Path) -> None:
    port = free_port()
    wait = f"for i in $(seq 100); do curl -s -o answer http://127.0.0.1:{port}/readyz && break; sleep 0.2; done\n"
    commands, *more = blocks("sh")
    calls = "".join(more)
    (tmp_path / "example.py").write_text(blocks("python")[0])
    # Whatever fails, the server that the README starts in the background ends with it.
    script = (
        "set -ex\ntrap 'kill $server 2>/dev/null || true' EXIT\n"
        + commands
        + calls.replace("--with-worker &\n", f"--with-worker & server=$!\n{wait}")
    )
    script = script.replace("curl -s ", "curl -s --fail-with-body -w '\\n' ").replace(":8000", f":{port}")
    script = script.replace("--fail-with-body -w '\\n' -o answer", "-o answer")
    script += "python example.py\nkill -TERM $server; wait $server || true\n"
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "BELLBIRD_DATA_DIR": str(tmp_path / "data"),
        "BELLBIRD_PORT": str(port),
    }
    ran = subprocess.Popen(
        ["sh", "-c", script], cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = ran.communicate(timeout=120)
    finally:
        if ran.poll() is None:
            os.killpg(ran.pid, signal.SIGKILL)
    assert ran.returncode == 0, said
    assert "Ann Lee ['Ann Lee'] Total(count=1, exact=True)" in said
    assert '"job_title":"Producer"' in said
    assert '"token_type":"Bearer"' in said
    assert '"display_name":"Tama"' in said
    assert "The call to +61412345678 is over after 2 s: answered." in said
    assert '"outcome":"interested"' in said
    assert '"total":{"count":1,"exact":true}' in said
