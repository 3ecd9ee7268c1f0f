"""Outlier detection: hosts that fail while others do not are left alone for a while (Envoy's passive health checks).

Each worker tells what came of a request (`monitor.py`); what is counted of it lies in shared memory, so that failures
in a row (`streaks.py`) and rates (`statistics.py`) are those of the whole proxy. One worker per cluster decides who is
ejected and who comes back (`detector.py`).
"""
