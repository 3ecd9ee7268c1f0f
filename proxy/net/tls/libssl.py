"""What Python's `ssl` keeps from us of the OpenSSL that it is linked with, by ctypes.

What has long callbacks of its own is in files beside it, `libssl_*.py`. The functions are looked up through the
extension module itself, so they are those of the very library that made its objects. Where its objects keep their
pointers has been the same since CPython 3.7; `check` compares what is found there with what `ssl` says before anything
is written.
"""

from __future__ import annotations

import _ssl
import ctypes
import functools
import ssl
from collections.abc import Callable, Sequence
from typing import Any

_WORD = ctypes.sizeof(ctypes.c_void_p)
_CONTEXT_POINTER = 2 * _WORD  # PySSLContext: the object's head, SSL_CTX *
_SSL_POINTER = 3 * _WORD  # PySSLSocket: the object's head, the Python socket, SSL *

_SET_READ_AHEAD = 41
_SET_SESSION_CACHE_MODE = 44
_SET_TICKET_KEYS = 59
_SET_GROUPS_LIST = 92
_SET_SIGNATURE_ALGORITHMS_LIST = 98
_SET_HOST_NAME = 55
_GET_PEER_SIGNATURE_NID = 108
_GET_NEGOTIATED_GROUP = 134
_SESSION_CACHE_OFF, _SESSION_CACHE_SERVER = 0, 2
_SESSION_CACHE_CLIENT_BY_CALLBACK = 0x301  # CLIENT, NO_INTERNAL
_TLS13 = 0x0304

VERIFY_PEER, VERIFY_FAIL_IF_NO_PEER_CERT = 1, 2
ERROR_APPLICATION_VERIFICATION = 50  # X509_V_ERR_APPLICATION_VERIFICATION

_GROUPS = {
    415: "P-256",
    715: "P-384",
    716: "P-521",
    713: "P-224",
    1034: "X25519",
    1035: "X448",
}  # NID → BoringSSL's name
_HASHES = {64: "sha1", 672: "sha256", 673: "sha384", 674: "sha512"}
_ECDSA = {672: "ecdsa_secp256r1_sha256", 673: "ecdsa_secp384r1_sha384", 674: "ecdsa_secp521r1_sha512", 64: "ecdsa_sha1"}
_RSA, _RSA_PSS, _EC, _ED25519 = 6, 912, 408, 1087

Verify = Callable[[int, int], int]
_NEW_SESSION = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_VERIFY = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def functions(*signatures: tuple[Any, ...]) -> Any:
    """The library with these functions: each by its name, what it returns, and what it takes."""
    library = ctypes.CDLL(_ssl.__file__)
    for name, result, *arguments in signatures:
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


@functools.cache
def _library() -> Any:
    pointer, number, word, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
    return functions(
        ("SSL_CTX_get_options", ctypes.c_uint64, pointer),
        ("SSL_CTX_ctrl", word, pointer, number, word, pointer),
        ("SSL_ctrl", word, pointer, number, word, pointer),
        ("SSL_CTX_set_ciphersuites", number, pointer, text),
        ("SSL_CTX_set_session_id_context", number, pointer, text, ctypes.c_uint),
        ("SSL_CTX_set_timeout", word, pointer, word),
        ("SSL_CTX_set_verify", None, pointer, number, pointer),
        ("SSL_CTX_set_verify_depth", None, pointer, number),
        ("SSL_CTX_set_cert_verify_callback", None, pointer, _VERIFY, pointer),
        ("SSL_shutdown", number, pointer),
        ("SSL_set_alpn_protos", number, pointer, text, ctypes.c_uint),
        ("SSL_set_session", number, pointer, pointer),
        ("SSL_CTX_sess_set_new_cb", None, pointer, _NEW_SESSION),
        ("SSL_SESSION_free", None, pointer),
        ("SSL_SESSION_get_protocol_version", number, pointer),
        ("SSL_get_certificate", pointer, pointer),
        ("SSL_get_rbio", pointer, pointer),
        ("BIO_number_read", ctypes.c_uint64, pointer),
        ("SSL_get_session", pointer, pointer),
        ("SSL_SESSION_get_id", pointer, pointer, ctypes.POINTER(ctypes.c_uint)),
        ("SSL_load_client_CA_file", pointer, text),
        ("SSL_CTX_set_client_CA_list", None, pointer, pointer),
        ("SSL_get_peer_signature_type_nid", number, pointer, ctypes.POINTER(number)),
        ("X509_verify_cert", number, pointer),
        ("X509_verify_cert_error_string", text, word),
        ("X509_STORE_CTX_get_error", number, pointer),
        ("X509_STORE_CTX_get_error_depth", number, pointer),
        ("X509_STORE_CTX_set_error", None, pointer, number),
        ("X509_STORE_CTX_get0_cert", pointer, pointer),
        ("X509_STORE_CTX_get0_untrusted", pointer, pointer),
        ("OPENSSL_sk_num", number, pointer),
        ("OPENSSL_sk_value", pointer, pointer, number),
        ("i2d_X509", number, pointer, pointer),
        ("ERR_clear_error", None),
    )


def check() -> None:
    """Raise `RuntimeError` unless contexts are laid out as we believe."""
    for options in (ssl.OP_NO_TICKET, ssl.OP_NO_RENEGOTIATION):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.options |= options
        if _library().SSL_CTX_get_options(_of_context(context)) != int(context.options):
            raise RuntimeError("this Python's ssl.SSLContext is not laid out as CPython's")


@functools.cache
def _checked() -> Any:
    check()
    return _library()


def _of_context(context: ssl.SSLContext) -> int:
    return ctypes.c_void_p.from_address(id(context) + _CONTEXT_POINTER).value or 0


def pointer_of(context: ssl.SSLContext) -> int:
    """Its SSL_CTX, for other files of this kind."""
    _checked()
    return _of_context(context)


def _of_connection(connection: object) -> int:
    return ctypes.c_void_p.from_address(id(connection) + _SSL_POINTER).value or 0


def _control(context: ssl.SSLContext, command: int, number: int = 0, data: bytes | None = None) -> int:
    return int(_checked().SSL_CTX_ctrl(_of_context(context), command, number, data))


def _failed(what: str) -> ValueError:
    _library().ERR_clear_error()
    return ValueError(what)


# --- contexts ---------------------------------------------------------------------------------------------------------


def set_groups(context: ssl.SSLContext, names: str) -> None:
    """Key exchange groups, joined with `:`, first wins. Raises `ValueError` if the library knows one of them not."""
    if not _control(context, _SET_GROUPS_LIST, 0, names.encode()):
        raise _failed(f"{names!r} names a curve that OpenSSL does not know")


def set_signature_algorithms(context: ssl.SSLContext, names: str) -> None:
    """Signature algorithms, joined with `:`. Raises `ValueError`."""
    if not _control(context, _SET_SIGNATURE_ALGORITHMS_LIST, 0, names.encode()):
        raise _failed(f"{names!r} names a signature algorithm that OpenSSL does not know")


def set_tls13_ciphers(context: ssl.SSLContext, names: str) -> None:
    """Cipher suites of TLS 1.3, joined with `:`."""
    if not _checked().SSL_CTX_set_ciphersuites(_of_context(context), names.encode()):
        raise _failed(f"{names!r} names a TLS 1.3 cipher suite that OpenSSL does not know")


def set_ticket_key(context: ssl.SSLContext, key: bytes) -> None:
    """What session tickets are encrypted with: 80 bytes, in Envoy's order (name, HMAC key, AES key)."""
    if not _control(context, _SET_TICKET_KEYS, len(key), key):
        raise _failed("a session ticket key has 80 bytes")


def set_session_context(context: ssl.SSLContext, identity: bytes) -> None:
    """Sessions of contexts with another `identity` (at most 32 bytes) are not taken."""
    _checked().SSL_CTX_set_session_id_context(_of_context(context), identity, len(identity))


def keep_sessions(context: ssl.SSLContext, *, keep: bool) -> None:
    """Whether a server remembers sessions by their id (TLS 1.2 without tickets)."""
    _control(context, _SET_SESSION_CACHE_MODE, _SESSION_CACHE_SERVER if keep else _SESSION_CACHE_OFF)


def set_session_timeout(context: ssl.SSLContext, seconds: int) -> None:
    """How long a session may be resumed."""
    _checked().SSL_CTX_set_timeout(_of_context(context), seconds)


def read_ahead(context: ssl.SSLContext) -> None:
    """Read as much as there is, instead of a record's head and its body by two system calls."""
    _control(context, _SET_READ_AHEAD, 1)


def set_verify_depth(context: ssl.SSLContext, depth: int) -> None:
    """How many intermediate certificates a chain may have."""
    _checked().SSL_CTX_set_verify_depth(_of_context(context), depth)


def name_client_authorities(context: ssl.SSLContext, path: str) -> None:
    """Tell clients whose certificates are wanted: those that the authorities in the PEM file at `path` have issued."""
    names = _checked().SSL_load_client_CA_file(path.encode())
    _library().ERR_clear_error()
    if names:
        _library().SSL_CTX_set_client_CA_list(_of_context(context), names)  # which takes it over


def set_verification(context: ssl.SSLContext, mode: int, verify: Verify) -> object:
    """Let `verify` decide about the peer's chain; `mode` is of `VERIFY_*`. The caller keeps what is returned for as
    long as the context. What `verify` raises counts as a refusal.
    """
    library, pointer = _checked(), _of_context(context)
    callback = _VERIFY(verify)
    library.SSL_CTX_set_verify(pointer, mode, None)
    library.SSL_CTX_set_cert_verify_callback(pointer, callback, None)
    return callback


class Session:
    """What a client may resume a connection by. `once`: it must not be shown twice (TLS 1.3, RFC 8446 section C.4).
    `signature_algorithm` is what the server has signed with when it began.
    """

    __slots__ = ("_pointer", "once", "signature_algorithm")

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer
        self.signature_algorithm = ""
        self.once = _library().SSL_SESSION_get_protocol_version(pointer) >= _TLS13

    def resume(self, connection: object) -> None:
        """Offer it to the peer of a connection of the same context, before the handshake."""
        _checked().SSL_set_session(_of_connection(connection), self._pointer)

    def __del__(self) -> None:
        _library().SSL_SESSION_free(self._pointer)


def collect_sessions(context: ssl.SSLContext, keep: Callable[[int, Session], None]) -> object:
    """Call `keep` with the `identity` of a connection of a client's context, and each new session that it has. The
    caller keeps what is returned for as long as the context.
    """
    library = _checked()

    def on_session(connection: int, session: int) -> int:
        keep(connection, Session(session))
        return 1  # the session is ours

    callback = _NEW_SESSION(on_session)
    _control(context, _SET_SESSION_CACHE_MODE, _SESSION_CACHE_CLIENT_BY_CALLBACK)
    library.SSL_CTX_sess_set_new_cb(_of_context(context), callback)
    return callback


# --- chains, inside of a `Verify` -------------------------------------------------------------------------------------


def verify_chain(store: int) -> tuple[int, int, str]:
    """OpenSSL's own verdict on the chain: its error code (0: it is trusted), the depth it is about, and the words."""
    library = _library()
    if library.X509_verify_cert(store) == 1:
        return 0, 0, ""
    code = int(library.X509_STORE_CTX_get_error(store))
    words = library.X509_verify_cert_error_string(code) or b"unknown"
    return code or ERROR_APPLICATION_VERIFICATION, int(library.X509_STORE_CTX_get_error_depth(store)), words.decode()


def set_verify_error(store: int, code: int) -> None:
    """What the peer's alert and our exception are made of."""
    _library().X509_STORE_CTX_set_error(store, code)


def presented(store: int) -> tuple[bytes, ...]:
    """The certificates (DER) that the peer has sent, its own first."""
    library = _library()
    stack = library.X509_STORE_CTX_get0_untrusted(store)
    return tuple(encoded(library.OPENSSL_sk_value(stack, at)) for at in range(max(library.OPENSSL_sk_num(stack), 0)))


def leaf(store: int) -> bytes:
    """The peer's own certificate (DER)."""
    return encoded(_library().X509_STORE_CTX_get0_cert(store))


def encoded(certificate: int | None) -> bytes:
    """An X509 as DER; b"" for none."""
    if not certificate:
        return b""
    library = _library()
    buffer = ctypes.create_string_buffer(max(library.i2d_X509(certificate, None), 0))
    end = ctypes.c_void_p(ctypes.addressof(buffer))
    library.i2d_X509(certificate, ctypes.byref(end))
    return buffer.raw


# --- connections: what `SSLSocket._sslobj` is -------------------------------------------------------------------------


def identity(connection: object) -> int:
    """A number that no other connection has while this one lives."""
    return _of_connection(connection)


def group(connection: object) -> str:
    """The group of the key exchange, by BoringSSL's name; "" if there was none (RSA)."""
    number = int(_checked().SSL_ctrl(_of_connection(connection), _GET_NEGOTIATED_GROUP, 0, None)) & 0xFFFFFF
    return _GROUPS.get(number, "")


def ask_for(connection: object, server_name: str) -> None:
    """Name the server that is wanted (SNI), before the handshake. Python's own way takes no name that IDNA would not,
    and no address. Raises `ValueError` for more than 255 bytes.
    """
    name = server_name.encode("latin-1")
    if not _checked().SSL_ctrl(_of_connection(connection), _SET_HOST_NAME, 0, name):
        raise _failed(f"a server name of {len(name)} bytes")


def offer(connection: object, applications: Sequence[str]) -> None:
    """Offer these protocols by ALPN, before the handshake, in place of the context's."""
    names = b"".join(bytes([len(name)]) + name.encode() for name in applications)
    if _checked().SSL_set_alpn_protos(_of_connection(connection), names, len(names)):  # 0 is success here
        raise _failed("ALPN names have 1 to 255 bytes")


def own_certificate(connection: object) -> bytes:
    """The certificate that we present (DER); b"" for none."""
    return encoded(_checked().SSL_get_certificate(_of_connection(connection)))


def session_id(connection: object) -> bytes:
    """That of the session; b"" if it has none."""
    library = _checked()
    session, size = library.SSL_get_session(_of_connection(connection)), ctypes.c_uint()
    found = library.SSL_SESSION_get_id(session, ctypes.byref(size)) if session else None
    return ctypes.string_at(found, size.value) if found else b""


def bytes_received(connection: object) -> int:
    """What has been read from the socket, encrypted."""
    return int(_checked().BIO_number_read(_library().SSL_get_rbio(_of_connection(connection))))


def peer_signature_algorithm(connection: object) -> str:
    """What the peer has signed its side of the handshake with, by its name in RFC 8446; "" if it has not signed."""
    library, pointer = _checked(), _of_connection(connection)
    kind, digest = ctypes.c_int(), ctypes.c_int()
    if not library.SSL_get_peer_signature_type_nid(pointer, ctypes.byref(kind)):
        return ""
    if kind.value == _ED25519:
        return "ed25519"
    if not library.SSL_ctrl(pointer, _GET_PEER_SIGNATURE_NID, 0, ctypes.byref(digest)):
        return ""
    if kind.value == _EC:
        return _ECDSA.get(digest.value, "")
    scheme = {_RSA: "rsa_pkcs1", _RSA_PSS: "rsa_pss_rsae"}.get(kind.value)
    return f"{scheme}_{_HASHES[digest.value]}" if scheme and digest.value in _HASHES else ""


def close_notify(connection: object) -> None:
    """Say that nothing more will be sent, if the socket takes it now. What comes can still be read."""
    library = _checked()
    library.SSL_shutdown(_of_connection(connection))
    library.ERR_clear_error()
