"""Session tickets of several keys, by ctypes: OpenSSL's own functions know one key alone."""

from __future__ import annotations

import ctypes
import functools
import os
import ssl
from collections.abc import Sequence
from typing import Any

from proxy.net.tls import libssl

_NAME, _SECRET = 16, 32  # bytes: the key's name, then two secrets: of the HMAC, of AES-256
_REFUSED, _TAKEN, _TAKEN_AND_RENEWED = 0, 1, 2
_FAILED = -1
_TLS13 = 0x0304
_TEXT, _OCTETS = 4, 5  # OSSL_PARAM_UTF8_STRING, OSSL_PARAM_OCTET_STRING

_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,  # the connection
    ctypes.c_void_p,  # the key's name
    ctypes.c_void_p,  # the initialisation vector
    ctypes.c_void_p,  # EVP_CIPHER_CTX
    ctypes.c_void_p,  # EVP_MAC_CTX
    ctypes.c_int,
)


class _Parameter(ctypes.Structure):
    """OSSL_PARAM."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("type", ctypes.c_uint),
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("returned", ctypes.c_size_t),
    )


class _Key:
    def __init__(self, key: bytes) -> None:
        self.name = key[:_NAME]
        self.cipher = key[_NAME + _SECRET :]
        hmac = key[_NAME : _NAME + _SECRET]
        self.mac = (_Parameter * 3)(
            _Parameter(b"key", _OCTETS, hmac, len(hmac), 0), _Parameter(b"digest", _TEXT, b"SHA256", 6, 0), _Parameter()
        )


@functools.cache
def _functions() -> Any:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    return libssl.functions(
        ("SSL_version", number, pointer),
        ("SSL_CTX_set_tlsext_ticket_key_evp_cb", number, pointer, _CALLBACK),
        ("EVP_aes_256_cbc", pointer),
        ("EVP_EncryptInit_ex", number, pointer, pointer, pointer, ctypes.c_char_p, pointer),
        ("EVP_DecryptInit_ex", number, pointer, pointer, pointer, ctypes.c_char_p, pointer),
        ("EVP_MAC_CTX_set_params", number, pointer, ctypes.POINTER(_Parameter)),
    )


def set_ticket_keys(context: ssl.SSLContext, keys: Sequence[bytes]) -> object:
    """Encrypt with the first of these keys, and take what any of them has encrypted; the client gets a new ticket then.
    80 bytes each, in Envoy's order. The caller keeps what is returned for as long as the context.
    """
    functions = _functions()
    known = [_Key(key) for key in keys]
    places = {key.name: place for place, key in reversed(list(enumerate(known)))}

    def call(connection: int, name: int, vector: int, cipher: int, mac: int, encrypts: int) -> int:
        if encrypts:
            key, answer = known[0], _TAKEN
            ctypes.memmove(name, key.name, _NAME)
            ctypes.memmove(vector, os.urandom(_NAME), _NAME)
            start = functions.EVP_EncryptInit_ex
        else:
            place = places.get(ctypes.string_at(name, _NAME))
            if place is None:
                return _REFUSED
            once = functions.SSL_version(connection) >= _TLS13  # RFC 8446 section C.4: a ticket is for one use
            key, answer = known[place], _TAKEN_AND_RENEWED if place or once else _TAKEN
            start = functions.EVP_DecryptInit_ex
        started = start(cipher, functions.EVP_aes_256_cbc(), None, key.cipher, vector)
        return answer if started and functions.EVP_MAC_CTX_set_params(mac, key.mac) else _FAILED

    callback = _CALLBACK(call)
    functions.SSL_CTX_set_tlsext_ticket_key_evp_cb(libssl.pointer_of(context), callback)
    return callback
