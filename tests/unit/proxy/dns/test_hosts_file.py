from hypothesis import given
from hypothesis import strategies as st

from proxy.dns.hosts_file import parse


def test_names_have_the_addresses_of_all_their_lines() -> None:
    text = """
127.0.0.1   localhost
::1         localhost ip6-localhost  # the same
10.0.0.1    Web web.example.
10.0.0.2    web
10.0.0.1    web
nonsense    web
10.0.0.3
# 10.0.0.4  web
"""
    assert parse(text) == {
        "localhost": ("127.0.0.1", "::1"),
        "ip6-localhost": ("::1",),
        "web": ("10.0.0.1", "10.0.0.2"),
        "web.example": ("10.0.0.1",),
    }


@given(st.text())
def test_any_text_is_parsed(text: str) -> None:
    parse(text)
