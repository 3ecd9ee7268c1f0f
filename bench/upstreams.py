"""What the proxies forward to: the origin, and a second one that says what it received."""

from __future__ import annotations

import contextlib
from typing import Self

from bench.origin import NginxOrigin
from tests.kit.origin import Origin


class Upstreams:
    """Both, running."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            self.origin = stack.enter_context(NginxOrigin()).port
            self.recorder = stack.enter_context(Origin()).port
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
