"""How systems, tools and libraries are told of the site's certificate authority. Pure.

``stack-ca.pem`` stands for the certificate's copy on the other machine.
"""

from __future__ import annotations

from dataclasses import dataclass

_NODE, _OPENSSL, _CODEX = "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CODEX_CA_CERTIFICATE"
FILE = "stack-ca.pem"


@dataclass(frozen=True, slots=True)
class Trust:
    """How one of them is told.

    Attributes:
        who: system or programs.
        how: a command, a variable, or a place in a window.
    """

    who: str
    how: str


SYSTEMS = (
    Trust(
        "Debian, Ubuntu",
        f"sudo cp {FILE} /usr/local/share/ca-certificates/ai-stack.crt && sudo update-ca-certificates",
    ),
    Trust("Fedora, RHEL", f"sudo cp {FILE} /etc/pki/ca-trust/source/anchors/ && sudo update-ca-trust"),
    Trust(
        "macOS",
        f"sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {FILE}",
    ),
    Trust("Windows, as administrator", f"certutil -addstore -f Root {FILE}"),
)
# What does not look at the system's store, or not on every system.
PROGRAMS = (
    Trust("Claude Code, opencode, Qwen Code, Cline CLI, pi, promptfoo, Node", f"{_NODE}=/path/{FILE}"),
    Trust("Codex CLI", f"{_CODEX}=/path/{FILE}"),
    Trust("Crush, and what else is written in Go, on Linux", f"{_OPENSSL}=/path/{FILE}"),
    Trust("aider, llm, SDKs of OpenAI and Anthropic, LangChain, LlamaIndex (Python)", f"{_OPENSSL}=/path/{FILE}"),
    Trust("Python's requests", f"REQUESTS_CA_BUNDLE=/path/{FILE}"),
    Trust("curl", f"--cacert {FILE}"),
    Trust("Continue", f"requestOptions: {{caBundlePath: /path/{FILE}}} in its file, which 'stackctl connect' writes"),
    Trust("VS Code with Cline or Copilot; Zed", "the system's store"),
    Trust("JetBrains", "Settings, Appearance & Behavior, System Settings, Server Certificates: add the file"),
    Trust(
        "Chromium, Chrome on Linux (certutil is in libnss3-tools)",
        f"mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n ai-stack -i {FILE}",
    ),
    Trust("Firefox", "Settings, Privacy & Security, View Certificates, Authorities: import the file"),
    Trust("Open WebUI, LibreChat in containers", "mount the file, and set the variable of Python or Node above"),
)

# Of tools that `stackctl connect` knows; what is in neither looks at the system's store.
_BY_VARIABLE = {
    **dict.fromkeys(("claude-code", "opencode", "qwen-code", "cline", "pi", "promptfoo"), _NODE),
    **dict.fromkeys(("openai-node", "anthropic-node", "ai-sdk", "librechat"), _NODE),
    "codex": _CODEX,
    **dict.fromkeys(("crush", "aider", "llm", "open-webui", "curl"), _OPENSSL),
    **dict.fromkeys(("openai-python", "anthropic-python", "langchain", "langgraph", "llamaindex", "litellm"), _OPENSSL),
}


def write_note(tool: str, file: str) -> str:
    """How a tool is told of the authority that this command was told of; empty where that was none, or needs nothing.

    Args:
        file: the authority's; empty for none.
    """
    if not file:
        return ""
    if tool == "continue":
        return f"its own file names {file}, by which it trusts this certificate"
    if variable := _BY_VARIABLE.get(tool):
        elsewhere = "; in an editor, where the system does" if tool == "cline" else ""
        return f"it trusts this certificate with {variable}={file} in the shell that it is started from{elsewhere}"
    return "it trusts this certificate where the system does: 'stackctl lan show' on that machine says how"
