"""`python -m master.template LEVEL`: one per generation; imports the data plane once and forks the other processes."""

from __future__ import annotations

import sys

from master.template.main import main

main(sys.argv[1])
