"""MurmurHash2 in 64 bits ("MurmurHash64A"), which is libstdc++'s `std::hash`: Envoy's `MURMUR_HASH_2`.

No library has it with that seed; xxHash is the rule, this is for rings that have to agree with older ones.
"""

from __future__ import annotations

_SEED = 0xC70F6907
_M = 0xC6A4A7935BD1E995
_MASK = 2**64 - 1


def murmur2(data: bytes) -> int:
    """The hash of `data`, 64 bits."""
    length = len(data)
    result = _SEED ^ (length * _M & _MASK)
    whole = length - length % 8
    for at in range(0, whole, 8):
        result = (
            result ^ _shift_mix(int.from_bytes(data[at : at + 8], "little") * _M & _MASK) * _M & _MASK
        ) * _M & _MASK
    if length % 8:
        result = (result ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    return _shift_mix(_shift_mix(result) * _M & _MASK)


def _shift_mix(value: int) -> int:
    return value ^ (value >> 47)
