"""All checks in order."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

from master.config import report, source
from master.config.check import check as check_config
from master.config.finding import Finding as ConfigFinding
from master.doctor import access, instance, kernel, limits, ports, systemd
from master.doctor.finding import Finding
from proxy.config.bootstrap import CompiledConfig


def examine(*, runtime_dir: str, config_path: str | None, user: str, group: str) -> Iterator[Finding]:
    """Everything that can be found without starting a proxy; what a configuration decides, only with one."""
    config: CompiledConfig | None = None
    if config_path is not None:
        finding, config = _config(config_path)
        yield finding
    yield limits.open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"))
    yield limits.backlog(somaxconn, config.listeners if config is not None else ())
    yield from kernel.features()
    yield instance.check(runtime_dir)
    if config is not None:
        yield from ports.check(config, instance.family(instance.holder(runtime_dir)))
    yield from access.check(user, group, config_path)
    yield systemd.check(systemd.version())
    yield from _service(runtime_dir)


def _service(runtime_dir: str) -> Iterator[Finding]:
    """The unit that runs the instance of this runtime directory, or would: they have the same name."""
    running = instance.holder(runtime_dir)
    unit = (systemd.unit_of(running) if running is not None else None) or f"{Path(runtime_dir).name}.service"
    found = systemd.properties(unit)
    if found is not None:
        yield from systemd.service(unit, found)


def _config(path: str) -> tuple[Finding, CompiledConfig | None]:
    read = source.read(path)
    if isinstance(read, ConfigFinding):
        return Finding("configuration", "fault", f"{path}: {read.message}", "name the file of an Envoy bootstrap"), None
    checked = check_config([read], allow_unsupported=True, version=1)
    if checked.config is None:
        text = f"{path}: {report.summary(checked.findings)}"
        return Finding("configuration", "fault", text, f"`proxyctl validate -c {path}` says where and why"), None
    return Finding("configuration", "ok", f"{path} can be run"), checked.config
