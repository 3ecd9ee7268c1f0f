"""Continuous load through restarts, reloads, kills and drains: every failed request is counted and attributed.

`python -m bench.soak` runs it. `loads.py` is what is sent, `subjects/` to whom, `operations/` what happens meanwhile,
`trials.py` what happens to whom, `run.py` in which order; `owners.py` finds out whose a connection is, `verdict.py`
which failures are excused.
"""
