"""The text of our units: what depends on systemd's version and the settings, and words that need quoting."""

from __future__ import annotations

import configparser
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.units.render import Settings, units
from master.units.writing import OURS

SETTINGS = Settings("edge", 252, "/opt/trireme/bin/proxyctl", "/etc/trireme/envoy.yaml")


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Sections of keys; of a key that comes twice the last."""
    parser = configparser.ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def service(settings: Settings) -> dict[str, str]:
    return parsed(units(settings)[f"{settings.name}.service"])["Service"]


def test_an_older_systemd_is_told_how_to_reload() -> None:
    old = service(SETTINGS)
    assert (old["Type"], old["ExecReload"]) == ("notify", "/bin/kill -HUP $MAINPID")
    new = service(replace(SETTINGS, version=253))
    assert (new["Type"], new["ReloadSignal"]) == ("notify-reload", "SIGHUP")
    assert "ExecReload" not in new


def test_commands_and_directories() -> None:
    found = service(replace(SETTINGS, options=["--allow-unsupported"], run_options=["--concurrency", "4"]))
    assert found["ExecStartPre"] == "/opt/trireme/bin/proxyctl validate -c /etc/trireme/envoy.yaml --allow-unsupported"
    assert found["ExecStart"] == (
        "/opt/trireme/bin/proxyctl run -c /etc/trireme/envoy.yaml --runtime-dir %t/edge"
        " --allow-unsupported --concurrency 4"
    )
    assert found["RuntimeDirectory"] == found["LogsDirectory"] == "edge"


def test_whose_it_is() -> None:
    assert service(SETTINGS)["DynamicUser"] == "yes"
    named = service(replace(SETTINGS, user="envoy"))
    assert named["User"] == "envoy"
    assert "DynamicUser" not in named


def test_a_stop_outlasts_the_drain() -> None:
    assert int(service(replace(SETTINGS, drain_time=120))["TimeoutStopSec"]) > 120


@pytest.mark.parametrize("path", ["/home/me/envoy.yaml", "/root/venv/bin/proxyctl"])
def test_homes_are_closed_unless_something_is_there(path: str) -> None:
    assert service(SETTINGS)["ProtectHome"] == "yes"
    assert service(replace(SETTINGS, config=path))["ProtectHome"] == "read-only"
    assert service(replace(SETTINGS, config="/homestead/envoy.yaml"))["ProtectHome"] == "yes"


def test_the_socket_unit() -> None:
    assert list(units(SETTINGS)) == ["edge.service"]
    found = units(replace(SETTINGS, listen=["0.0.0.0:80", "/run/web.sock"]))
    text = found["edge.socket"]
    assert "ListenStream=0.0.0.0:80\nListenStream=/run/web.sock\n" in text
    assert parsed(text)["Socket"]["Service"] == "edge.service"
    assert "edge.socket" in parsed(found["edge.service"])["Unit"]["Wants"]
    assert parsed(found["edge.service"])["Install"]["Also"] == "edge.socket"


def test_every_word_of_a_template_is_filled_in() -> None:
    for text in units(replace(SETTINGS, listen=["[::]:80"])).values():
        assert text.startswith(OURS)
        assert "@system-service" in text or "[Socket]" in text
        assert not [word for word in text.split() if word.startswith("@") and word.endswith("@")]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_a_path_stays_one_word(name: str) -> None:
    path = f"/etc/{name}"
    line = service(replace(SETTINGS, config=path))["ExecStartPre"]
    unescaped = line.replace("%%", "%").replace("$$", "$")
    assert shlex.split(unescaped) == ["/opt/trireme/bin/proxyctl", "validate", "-c", path]
