"""Can a sandboxed service use these files at all?"""

from __future__ import annotations

from collections.abc import Iterator

from master.doctor import access

NOBODY = "65534"  # stands for a dynamic user: it owns nothing
PRIVATE = ("/tmp", "/var/tmp")


def faults(user: str, proxyctl: str, config: str) -> Iterator[str]:
    """What is in the way, each with its remedy."""
    for path in (proxyctl, config):
        if any(path.startswith(f"{directory}/") for directory in PRIVATE):
            yield f"{path} cannot be seen by the service, which has a {path.split('/')[1]} of its own; move it"
    for finding in access.check(user or NOBODY, "", config):
        if finding.level == "fault":
            who = finding.text if user else finding.text.replace(f"user {NOBODY}", "the service's user")
            yield f"{who}: {finding.remedy}"
