"""What tests of the hot restart share."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import yaml

from tests.kit.process import ROOT, wait_for
from tests.kit.proxy import Proxy, proxyctl

PACKAGES = ("shm", "proxy", "workers", "master")


def restart(proxy: Proxy, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`proxyctl restart`, finished."""
    return proxyctl("restart", *arguments, runtime=proxy.runtime, deadline=120)


def status(proxy: Proxy) -> dict[str, Any]:
    """What `/hot_restart` says."""
    found = json.loads(proxy.admin("/hot_restart").body)
    assert isinstance(found, dict)
    return found


def begin(proxy: Proxy) -> None:
    """Ask for a restart without waiting for it."""
    answer = proxy.admin("/hot_restart/begin", "POST")
    assert answer.status == 200, answer.body


def wait_until_restarted(proxy: Proxy, generation: int) -> None:
    """Until `generation` has taken over, and the supervisor with it."""

    def done() -> bool:
        try:
            return bool(status(proxy)["outcome"] == "done" and status(proxy)["leader"] == generation)
        except (OSError, EOFError):
            return False

    wait_for(done, deadline=60, what=f"generation {generation} has taken over")


def wait_until_alone(proxy: Proxy) -> None:
    """Until no process of an older generation lives."""
    wait_for(
        lambda: len({each["generation"] for each in proxy.processes()}) == 1, deadline=30, what="one generation is left"
    )


def set_listeners(proxy: Proxy, listeners: list[dict[str, Any]]) -> None:
    """Write another configuration for the next restart; whatever else is in it stays."""
    tree = yaml.safe_load(proxy.config.read_text())
    tree["static_resources"]["listeners"] = listeners
    proxy.config.write_text(yaml.safe_dump(tree))


def other_release(directory: Path, *edits: tuple[str, str, str]) -> Path:
    """A virtual environment with our code in another place, in which each (file, old text, new text) is replaced."""
    tree = directory / "tree"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in edits:
        text = (tree / file).read_text()
        assert old in text, (file, old)
        (tree / file).write_text(text.replace(old, new))
    return environment(directory / "venv", tree)


def environment(path: Path, tree: Path = ROOT) -> Path:
    """A virtual environment that runs the code in `tree`, with the libraries of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    (site,) = path.glob("lib/python*/site-packages")
    (site / "code.pth").write_text(f"{tree}\n{sysconfig.get_paths()['purelib']}\n")
    return path
