"""OCSP responses that come with a certificate (RFC 6066 section 8), by ctypes: Python's `ssl` has none."""

from __future__ import annotations

import ctypes
import functools
import ssl
from collections.abc import Callable
from typing import Any

from proxy.net.tls import libssl

_SET_CALLBACK, _SET_RESPONSE = 63, 71  # SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB, SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP
_SENT, _REFUSED, _NOTHING = 0, 2, 3  # SSL_TLSEXT_ERR_OK, _ALERT_FATAL, _NOACK

_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

Choose = Callable[[bytes], "bytes | None"]
"""For our certificate (DER): the response (DER) that goes with it, b"" for none, None to refuse the handshake."""


@functools.cache
def _functions() -> Any:
    pointer, number, word = ctypes.c_void_p, ctypes.c_int, ctypes.c_long
    return libssl.functions(
        ("SSL_CTX_callback_ctrl", word, pointer, number, _CALLBACK),
        ("SSL_ctrl", word, pointer, number, word, pointer),
        ("SSL_get_certificate", pointer, pointer),
        ("CRYPTO_malloc", pointer, ctypes.c_size_t, ctypes.c_char_p, number),
    )


def set_stapling(context: ssl.SSLContext, choose: Choose) -> object:
    """Ask `choose` whenever a client wants a response. The caller keeps what is returned for as long as the context."""
    functions = _functions()

    def call(connection: int, _: int) -> int:
        response = choose(libssl.encoded(functions.SSL_get_certificate(connection)))
        if response is None:
            return _REFUSED
        copy = functions.CRYPTO_malloc(len(response), None, 0) if response else None
        if not copy:
            return _NOTHING
        ctypes.memmove(copy, response, len(response))
        functions.SSL_ctrl(connection, _SET_RESPONSE, len(response), copy)  # which takes it over
        return _SENT

    callback = _CALLBACK(call)
    functions.SSL_CTX_callback_ctrl(libssl.pointer_of(context), _SET_CALLBACK, callback)
    return callback
