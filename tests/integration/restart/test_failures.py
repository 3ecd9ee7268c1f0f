"""A hot restart that cannot be: nothing changes, the exit code and the words say why, and the next one works."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integration.restart.restarting import environment, restart, status, wait_until_alone
from tests.kit.bootstrap import http_listener, one_origin, route, socket_address, virtual_host
from tests.kit.client import get
from tests.kit.load import Load
from tests.kit.origin import Origin
from tests.kit.proxy import Proxy

FILTER = {
    "name": "theirs",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"name": "theirs"},
        "filter_name": "Nothing",
    },
}
GOOD = """
from proxy.python_filter import CallNext, Exchange, Filter

class Nothing(Filter):
    async def __call__(self, exchange: Exchange, call_next: CallNext) -> None:
        await call_next(exchange)
"""
IN_WORKERS = """
import setproctitle, time

if setproctitle.getproctitle().startswith("trireme: worker"):
    {deed}
"""


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("filters")
    write(directory, GOOD)
    return directory


@pytest.fixture(scope="module")
def proxy(origin: Origin, filters: Path) -> Iterator[Proxy]:
    tree = yaml.safe_load(one_origin(origin.port))
    chain = tree["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["filters"][0]["typed_config"]["http_filters"].insert(0, FILTER)
    with Proxy(yaml.safe_dump(tree), concurrency=2, arguments=["--filter-path", str(filters)]) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def nothing_changes(proxy: Proxy, filters: Path) -> Iterator[None]:
    """Around each test: no request fails, and the same generation serves with the same workers before and after."""
    config, before = proxy.config.read_text(), [each["pid"] for each in proxy.processes()]
    with Load(proxy.address(), mode="new", connections=2) as load:
        yield
        report = load.finish()
    assert report.failed.total() == 0, report.failed
    wait_until_alone(proxy)
    assert [each["pid"] for each in proxy.processes()] == before, proxy.output()
    proxy.config.write_text(config)
    write(filters, GOOD)


def write(filters: Path, code: str) -> None:
    (filters / "theirs.py").write_text(code)


def test_an_invalid_configuration(proxy: Proxy) -> None:
    proxy.config.write_text(proxy.config.read_text().replace("connect_timeout", "connect_timeuot"))
    done = restart(proxy)
    assert done.returncode == 3, done.stderr
    assert "connect_timeuot" in done.stderr
    assert "envoy.yaml" in done.stderr


def test_a_configuration_that_is_gone(proxy: Proxy) -> None:
    proxy.config.rename(proxy.config.with_suffix(".moved"))
    try:
        done = restart(proxy)
    finally:
        proxy.config.with_suffix(".moved").rename(proxy.config)
    assert done.returncode == 3, done.stderr
    assert "envoy.yaml" in done.stderr


def test_a_new_address_that_is_in_use(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        tree = yaml.safe_load(proxy.config.read_text())
        listener = http_listener(virtual_host("all", ["*"], route("/", "origin")), name="second")
        listener["address"] = socket_address("127.0.0.1", other.getsockname()[1])
        tree["static_resources"]["listeners"].append(listener)
        proxy.config.write_text(yaml.safe_dump(tree))
        done = restart(proxy)
    assert done.returncode == 5, done.stderr
    assert "in use by pid" in done.stderr


def test_not_ready_in_time(proxy: Proxy, filters: Path) -> None:
    write(filters, GOOD + IN_WORKERS.format(deed="time.sleep(60)"))
    done = restart(proxy, "--ready-timeout", "3")
    assert done.returncode == 6, done.stderr
    assert "0 of 2 workers are ready" in done.stderr


def test_workers_that_die_at_their_start(proxy: Proxy, filters: Path) -> None:
    write(filters, GOOD + IN_WORKERS.format(deed='raise RuntimeError("no such luck")'))
    done = restart(proxy)
    assert done.returncode == 1, done.stderr
    assert "no such luck" in done.stderr
    assert status(proxy)["outcome"] == "failed"


def test_code_that_is_not_there(proxy: Proxy, tmp_path: Path) -> None:
    done = restart(proxy, "--exec", str(tmp_path))
    assert done.returncode == 5
    assert "no Python" in done.stderr


def test_code_without_our_packages(proxy: Proxy, tmp_path: Path) -> None:
    done = restart(proxy, "--exec", str(environment(tmp_path / "venv", tmp_path)))
    assert done.returncode == 1, done.stderr
    assert "No module named" in done.stderr


def test_code_that_was_deleted_while_it_ran(origin: Origin, tmp_path: Path) -> None:
    """The environment of a running proxy goes, and comes back: it serves on, refuses to restart, and then does."""
    venv = environment(tmp_path / "venv")
    with Proxy(one_origin(origin.port), python=str(venv / "bin" / "python")) as proxy:
        shutil.rmtree(venv)
        done = restart(proxy)
        assert done.returncode == 5, done.stderr
        assert "No such file" in done.stderr
        assert get(proxy.address(), "/").status == 200
        environment(venv)
        done = restart(proxy)
        assert done.returncode == 0, done.stderr + proxy.output()
        assert get(proxy.address(), "/").status == 200
