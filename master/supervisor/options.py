"""The supervisor's options: what `proxyctl run` was asked, carried over its exec as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

OPTIONS_ENV = "TRIREME_OPTIONS"  # the environment variable that carries them


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Paths are absolute. Durations in seconds. `user` and `group` are names or numbers as text, "" for unchanged."""

    runtime_dir: str
    config_path: str | None = None
    config_yaml: str | None = None
    listen: str | None = None
    upstream: str | None = None
    allow_unsupported: bool = False
    filter_paths: tuple[str, ...] = ()  # appended to sys.path wherever filters of users are imported
    concurrency: int = 1
    user: str = ""
    group: str = ""
    log_level: str = "info"
    log_path: str = ""  # "" is standard error
    drain_time: float = 600.0  # of listeners: Envoy's --drain-time-s
    drain_strategy: str = "Gradual"  # or "Immediate", as admin.v3.CommandLineOptions spells them
    parent_shutdown_time: float = 900.0  # Envoy's --parent-shutdown-time-s
    shutdown_drain_time: float = 30.0
    shutdown_idle_time: float = 5.0  # the part of it in which connections without a request may end by themselves
    worker_max_rss: int = 0  # bytes beyond which a worker is replaced; 0: none
    slow_request: float = 1.0  # seconds from which on the flight recorder keeps a request that went well; 0: never

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Options of another release over a hot restart: what is not known here is passed over."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})

    def preflight(self, version: int, states: dict[str, str] | None = None) -> dict[str, Any]:
        """What `master.preflight` reads on its standard input. `states` is a supervisor's state by version, of which it
        shall understand one.
        """
        return {
            "config_path": self.config_path,
            "config_yaml": self.config_yaml,
            "listen": self.listen,
            "upstream": self.upstream,
            "allow_unsupported": self.allow_unsupported,
            "filter_paths": self.filter_paths,
            "version": version,
            "states": states,
        }
