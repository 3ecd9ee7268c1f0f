"""The supervisor starts when everything else is broken: it loads the standard library and our lean modules."""

from __future__ import annotations

import subprocess
import sys

from tests.kit.process import ROOT

PROGRAM = """
import sys
before = set(sys.modules)
import master.supervisor.main
ours = {"master", "shm", "proxy"}
print(" ".join(sorted({m.partition(".")[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names) - ours)))
"""


def test_the_supervisor_loads_no_third_party_module() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
