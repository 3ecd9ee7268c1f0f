"""Where the forked controller begins: inherited descriptors in, `Controller.run` under trio, exit code out."""

from __future__ import annotations

import json
import traceback
from typing import Any

import trio

from master.controller.controller import Controller
from proxy import log as process_log
from workers.link import SupervisorLink

EXIT_FAILED = 1


def main(order: dict[str, Any], inherited: dict[str, int]) -> int:
    """Run the controller; returns its exit code. A failure is told to the supervisor with its traceback."""
    process_log.configure(json.loads(order["options"])["log_level"])
    link = SupervisorLink(inherited["channel"])
    try:
        controller = Controller(order, inherited, link)
        trio.run(controller.run)
    except BaseException:
        link.send_now({"type": "failed", "traceback": traceback.format_exc()[-16_000:]})
        return EXIT_FAILED
    return 0
