"""CPU time and memory as the kernel has them."""

import os
import subprocess
import sys

import pytest

from benchmarks import cpu

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CPU time is read from /proc, which only Linux has")

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_the_time_of_a_child_that_has_ended_is_counted() -> None:
    with cpu.Meter(os.getpid()) as meter:
        subprocess.run([sys.executable, "-c", BUSY], check=True)

    assert len(meter.seconds) == 1
    assert meter.seconds[0] >= 0.25


def test_the_time_of_a_child_that_still_runs_is_counted() -> None:
    child = subprocess.Popen([sys.executable, "-c", BUSY + "\nprint(flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    with child, cpu.Meter(os.getpid()) as meter:
        assert child.stdout is not None
        child.stdout.readline()
        assert cpu.used(child.pid) >= 0.25
        assert [size for size in cpu.resident_mb(os.getpid(), marked="process_time") if size > 1]
        child.communicate(b"\n")

    assert meter.seconds[0] >= 0.25
