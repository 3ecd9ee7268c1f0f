"""Where clients keep which host their session is at: session state extensions, one file each, one line each here."""

SESSION_STATES: dict[str, str] = {
    "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState": (
        "proxy.http.session_states.cookie:CookieState"
    ),
    "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState": (
        "proxy.http.session_states.header:HeaderState"
    ),
}
