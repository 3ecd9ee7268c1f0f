"""Which service type does this machine's systemd know?"""

from __future__ import annotations

import re
import subprocess

from master.doctor.finding import Finding

NOTIFY_RELOAD = 253
DEADLINE = 5.0


def check(text: str | None) -> Finding:
    """`text` is what `systemctl --version` prints; None if there is no systemd."""
    found = re.match(r"systemd (\d+)", text or "")
    if found is None:
        return Finding("systemd", "ok", "not here: nothing to adapt to")
    version = int(found[1])
    if version >= NOTIFY_RELOAD:
        return Finding("systemd", "ok", f"version {version} knows Type=notify-reload")
    text = f"version {version} does not know Type=notify-reload ({NOTIFY_RELOAD} does)"
    return Finding("systemd", "warning", text, "use Type=notify, with ExecReload=/bin/kill -HUP $MAINPID")


def version() -> str | None:
    """What `systemctl --version` prints, None if there is none."""
    try:
        done = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=DEADLINE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout
