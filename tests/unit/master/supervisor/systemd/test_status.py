"""The line in `systemctl status`."""

from __future__ import annotations

from master.supervisor.systemd import status


def test_start() -> None:
    assert status.starting(ready=1, workers=2, controller=True) == "starting: 1 of 2 workers ready"
    assert status.starting(ready=0, workers=1, controller=False).endswith(", the controller is initialising")


def test_serving() -> None:
    bound = [("web", ["0.0.0.0:80", "[::]:80"]), ("api", ["/run/api.sock"])]
    serving = status.serving(ready=2, workers=2, bound=bound, closed=False, old={})
    assert serving == "serving with 2 workers: web 0.0.0.0:80 [::]:80, api /run/api.sock"
    assert (
        status.serving(ready=1, workers=2, bound=[], closed=False, old={})
        == "serving with 1 of 2 workers: no listeners"
    )
    assert (
        status.serving(ready=1, workers=1, bound=bound, closed=True, old={})
        == "serving with 1 worker: listeners closed"
    )
    many = [(f"l{number}", [f"[::]:{number}"]) for number in range(9)]
    assert status.serving(ready=1, workers=1, bound=many, closed=False, old={}).endswith("l2 [::]:2, 6 more")


def test_beside_a_hot_restart() -> None:
    line = status.serving(ready=1, workers=1, bound=[], closed=False, old={1: 12, 2: 1})
    assert line.endswith("no listeners; generation 1 drains 12 connections; generation 2 drains 1 connection")
    assert status.restarting(generation=2, phase="preflight") == "hot restart into generation 2: preflight"


def test_draining() -> None:
    assert status.draining(connections=1, seconds_left=4.2) == "draining: 1 connection left, for 4 s at most"
    assert status.draining(connections=0, seconds_left=-1) == "draining: 0 connections left, for 0 s at most"
