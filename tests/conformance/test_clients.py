"""What generators make of the description compiles, and works."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conformance.conftest import Caller
from tests.servers import Serving, missing

HERE = Path(__file__).parent
TYPESCRIPT = HERE / "typescript"


@pytest.fixture
def description(running: Serving, tmp_path: Path) -> Path:
    """The description, as a program of somebody else's would fetch it."""
    path = tmp_path / "openapi.json"
    path.write_bytes(httpx.get(f"{running.url}/openapi.json").raise_for_status().content)
    return path


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    # What is installed beside this Python is found without its environment being entered.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        check=False,
        cwd=cwd,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_openapi_typescripts_types_compile_strictly_with_a_program_that_uses_them(
    description: Path, tmp_path: Path
) -> None:
    modules = TYPESCRIPT / "node_modules"
    if shutil.which("node") is None or not (modules / "typescript").exists():
        missing("openapi-typescript (`make node`)")
    folder = tmp_path / "typescript"
    folder.mkdir()
    for name in ("use.ts", "tsconfig.json"):
        shutil.copy(TYPESCRIPT / name, folder)
    (folder / "node_modules").symlink_to(modules)
    run("node", modules / "openapi-typescript/bin/cli.js", description, "-o", "api.d.ts", cwd=folder)
    run("node", modules / "typescript/bin/tsc", "--project", ".", cwd=folder)


def test_openapi_python_clients_client_has_types_and_works(
    description: Path, running: Serving, caller: Caller, tmp_path: Path
) -> None:
    told = run(
        sys.executable, "-m", "openapi_python_client", "generate", "--path", description,
        "--meta", "none", "--output-path", "client", cwd=tmp_path,
    )  # fmt: skip
    assert "Unable" not in told and "WARNING" not in told.upper(), told
    shutil.copy(HERE / "use_client.py", tmp_path)
    # The generator's own template does not please the strictest settings; what uses it does.
    run(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "use_client.py", cwd=tmp_path)
    said = run(sys.executable, "use_client.py", cwd=tmp_path, URL=running.url, TOKEN=caller.token)
    assert said.splitlines() == ["Ann Lee", "Ann Smith", "version_mismatch", "/first_name", "contact_not_found"]
