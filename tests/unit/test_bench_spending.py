"""Processor time by part: children count, those that have ended too."""

import os
import subprocess
import sys
import time

from bench.spending import Spending, cpu

BUSY = "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}])
print("done", flush=True)
sys.stdin.read()
"""


def test_a_child_that_has_ended_is_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()

        assert cpu(parent.pid) >= 0.05  # in ticks of 0.01

        parent.communicate()


def test_a_process_that_is_gone_costs_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass

    assert cpu(process.pid) == 0.0


def test_each_part_is_asked_for_what_it_spent_since() -> None:
    spending = Spending({"this": [os.getpid()], "nothing": []})
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass

    assert spending.since()["this"] >= 0.03  # in ticks of 0.01
    assert spending.since()["nothing"] == 0.0
