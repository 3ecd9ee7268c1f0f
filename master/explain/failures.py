"""The workers' flight recorders as one list, newest first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from proxy import flight_recorder
from proxy.flight_recorder import Record
from shm.ring import RingReader

log = logging.getLogger("admin")

Cursor = dict[int, int]
"""Slot of a recorder → the newest sequence that was seen of it."""


class Failures(NamedTuple):
    """`records` newest first; `cursor` asks for those that come after."""

    records: list[Record]
    cursor: Cursor


def read(rings: Mapping[int, RingReader], after: Cursor) -> Failures:
    """Every record newer than `after`. A worker is not trusted: what is no record is passed over."""
    records: list[Record] = []
    cursor = dict(after)
    for slot, ring in list(rings.items()):
        for found in ring.read(after.get(slot, 0)):
            cursor[slot] = found.sequence
            try:
                records.append(flight_recorder.decode(found.payload))
            except msgspec.MsgspecError:
                log.warning("record %d of flight recorder %d cannot be read", found.sequence, slot)
    records.sort(key=lambda record: record.when, reverse=True)
    return Failures(records, cursor)
