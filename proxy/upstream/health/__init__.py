"""Active health checks (Envoy's `HealthChecker`): each host is checked by one worker, for all of them.

`service.py` knows which hosts are this worker's to check, `session.py` is one host's checks one after the other,
`verdicts.py` what follows from them, `checkers/` how it is done.
"""
