"""How a client that does not connect, or a tool, is told of the site's certificate authority."""

from __future__ import annotations

import pytest

from stackctl.core.connect.choice import explain_no_answer
from stackctl.core.connect.tools import TOOLS
from stackctl.core.lan.trust import PROGRAMS, write_note

FAILED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "


@pytest.mark.parametrize(
    ("error", "said", "hint"),
    [
        (f"{FAILED}unable to get local issuer certificate (_ssl.c:1006)", "is not trusted here", "SSL_CERT_FILE="),
        (f"{FAILED}certificate is not yet valid (_ssl.c:1006)", "is not yet valid, by this machine's clock", "clocks"),
        (f"{FAILED}certificate has expired (_ssl.c:1006)", "has expired, by this machine's clock", "stackctl doctor"),
        (
            f"{FAILED}Hostname mismatch, certificate is not valid for 'gpu.example'. (_ssl.c:1006)",
            "is for other names",
            "stackctl lan show",
        ),
        (f"{FAILED}IP address mismatch, certificate is not valid for '10.0.0.1'.", "is for other names", "lan show"),
        (
            "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error (_ssl.c:1006)",
            "has no certificate for that name",
            "stackctl lan show",
        ),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "speaks no TLS there", "check the port"),
    ],
)
def test_why_tls_came_to_nothing(error: str, said: str, hint: str) -> None:
    found = explain_no_answer("https://gpu.example:8443", error)
    assert found
    assert said in found[0]
    assert "gpu.example" in found[0]
    assert hint in found[1]


def test_other_failures_are_none_of_it() -> None:
    assert explain_no_answer("https://gpu.example:8443", "[Errno 111] Connection refused") is None


def test_each_tool_is_told_how_it_trusts_what_this_command_trusted() -> None:
    variables = {item.how.partition("=")[0] for item in PROGRAMS}
    for tool in TOOLS:
        note = write_note(tool, "/home/kim/stack-ca.pem")
        assert note
        assert "started from" not in note or {word.partition("=")[0] for word in note.split()} & variables
    assert "; in an editor, where the system does" in write_note("cline", "/c.pem")
    assert write_note("continue", "/c.pem").startswith("its own file names /c.pem")
    assert "NODE_EXTRA_CA_CERTS=/c.pem" in write_note("claude-code", "/c.pem")
    assert write_note("claude-code", "") == ""
