"""Hosts that the gateway never asks through a company's proxy."""

from __future__ import annotations

import pytest
from gateway.proxies import bypass_proxies

OWN = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("environ", "hosts", "expected"),
    [
        ({}, (), OWN),
        ({}, ("inference-chat", "inference-embed"), f"{OWN},inference-chat,inference-embed"),
        ({"NO_PROXY": "intranet.example, 10.0.0.5"}, (), f"intranet.example,10.0.0.5,{OWN}"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, ("e",), f"b.example,a.example,{OWN},e"),
        ({"no_proxy": "localhost,127.0.0.1,::1"}, (), "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, ("e",), "*"),
        ({"no_proxy": "a.example,*"}, ("e",), "*"),
    ],
)
def test_both_variables_name_the_user_s_hosts_loopback_and_the_engines(
    environ: dict[str, str], hosts: tuple[str, ...], expected: str
) -> None:
    assert bypass_proxies(environ, hosts) == {"NO_PROXY": expected, "no_proxy": expected}
