"""The line in `systemctl status`."""

from __future__ import annotations

from master.supervisor.systemd import status


def test_start() -> None:
    assert status.starting(ready=1, workers=2, controller=True) == "starting: 1 of 2 workers ready"
    assert status.starting(ready=0, workers=1, controller=False).endswith(", the controller is initialising")


def test_serving() -> None:
    bound = [("web", ["0.0.0.0:80", "[::]:80"]), ("api", ["/run/api.sock"])]
    serving = status.serving(ready=2, workers=2, bound=bound, closed=False)
    assert serving == "serving with 2 workers: web 0.0.0.0:80 [::]:80, api /run/api.sock"
    assert status.serving(ready=1, workers=2, bound=[], closed=False) == "serving with 1 of 2 workers: no listeners"
    assert status.serving(ready=1, workers=1, bound=bound, closed=True) == "serving with 1 worker: listeners closed"
    many = [(f"l{number}", [f"[::]:{number}"]) for number in range(9)]
    assert status.serving(ready=1, workers=1, bound=many, closed=False).endswith("l2 [::]:2, 6 more")


def test_draining() -> None:
    assert status.draining(connections=1, seconds_left=4.2) == "draining: 1 connection left, for 4 s at most"
    assert status.draining(connections=0, seconds_left=-1) == "draining: 0 connections left, for 0 s at most"
