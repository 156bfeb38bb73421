"""The running server keeps to its own description: asked by schemathesis, with a real PostgreSQL behind it.

make test                                           10 examples of each operation
make conformance                                    200 of each, and every boundary of every parameter and field
CONFORMANCE_SEED=4711 make conformance              as in the run that printed this seed
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conformance.conftest import Caller
from tests.servers import Serving

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "10"))
SEED = os.environ.get("CONFORMANCE_SEED")

# Some 200 requests for each operation, however many examples are asked for.
THOROUGH = ["coverage"] if EXAMPLES >= 100 else []
# Where one answer leads to the next request, Hypothesis soon meets what it takes for its own inconsistency and gives
# up, after a dozen scenarios: they are begun anew until the time is over.
AGAIN = ["--max-time", "60"] if EXAMPLES >= 100 else []


@pytest.mark.parametrize("phases", [*THOROUGH, "examples,fuzzing", "stateful"])
def test_the_server_does_what_its_description_says(
    phases: str, running: Serving, caller: Caller, owner: psycopg.Connection, tmp_path: Path
) -> None:
    seed = SEED or str(random.randrange(2**32))
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"),
            "run", f"{running.url}/openapi.json", "--phases", phases,
            "--max-examples", str(EXAMPLES), "--seed", seed, *(AGAIN if phases == "stateful" else []),
        ],
        env={**os.environ, "URL": running.url, "TOKEN": caller.token, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, f"CONFORMANCE_SEED={seed}"
    assert "Traceback" not in running.log.read_text()
    if phases == "stateful" and EXAMPLES >= 100:
        rows = owner.execute("select distinct type from events where tenant_id = %s", [caller.tenant.id])
        missing = {f"{what}.{verb}" for what in ("contact", "team") for verb in ("created", "updated", "deleted")}
        assert missing - {row[0] for row in rows} == set(), "one thing led to another"
