"""What a tool is told about the gateway, and what is told about a tool. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stackctl.core.connect.shapes import Shape

# Stands for the key in every text, so that it is in none until somebody asks for it.
KEY = "<KEY>"

FileKind = Literal["json", "toml", "yaml"]


@dataclass(frozen=True, slots=True)
class Model:
    """A name that the gateway answers to.

    Attributes:
        context: tokens of prompt and answer together; None when the gateway does not know.
        mode: what it is asked for: ``chat``, ``embedding`` or ``rerank``.
        tools: whether it can call tools; None when the gateway does not know.
    """

    name: str
    context: int | None
    mode: str = "chat"
    tools: bool | None = None

    @property
    def is_chat(self) -> bool:
        """Whether it answers chats."""
        return self.mode == "chat"


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway as a tool sees it.

    Attributes:
        url: its address without a path.
        chat: the model that a tool is given to chat with.
        embed: the name of a model that embeds; empty where there is none.
        authority: file of the certificate authority that it is trusted by; empty where the system's own does.
    """

    url: str
    chat: Model
    embed: str
    authority: str = ""

    @property
    def openai_url(self) -> str:
        """The base URL that OpenAI's clients take."""
        return f"{self.url}/v1"

    @property
    def context(self) -> int:
        """Tokens of prompt and answer that a tool may count with."""
        return self.chat.context or FALLBACK_CONTEXT

    @property
    def output(self) -> int:
        """Tokens of one answer that a tool may ask for: a quarter of the context, and no more than 8,192."""
        return min(self.context // 4, 8192)


# Of a provider that does not say: what every current model has at least.
FALLBACK_CONTEXT = 8192


@dataclass(frozen=True, slots=True)
class Settings:
    """A tool's own file, and what it has to say.

    Attributes:
        path: below the person's home.
        values: a tree of what is set; what else the file holds stays.
    """

    path: str
    kind: FileKind
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Guide:
    """How one tool is connected.

    Attributes:
        settings: its file; None where a person sets it in a window, in variables or in code.
        variables: what is exported before it is started.
        text: lines of code or of a file that the person puts where it belongs.
        notes: sentences that save somebody an hour.
    """

    settings: Settings | None = None
    variables: Mapping[str, str] | None = None
    text: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """An editor, agent, web interface or library.

    Attributes:
        programs: commands by one of which it is found on this machine.
        needs_context: tokens of its first request and a short answer.
        needs_tools: whether it is of no use with a model that cannot call tools.
        is_extension: whether it is an extension of editors, too, which no program on this machine tells.
        obstacle: why it cannot reach this gateway; empty where it can.
        shapes: requests as it sends them; empty where nobody looked.
        checked: the version that was connected this way in a test; empty where nobody tried, and its documentation was
            followed.
        checked_on: day of that test, or on which its documentation was read.
    """

    name: str
    title: str
    build: Callable[[Gateway], Guide]
    programs: tuple[str, ...] = ()
    needs_context: int = 0
    needs_tools: bool = False
    is_extension: bool = False
    obstacle: str = ""
    shapes: tuple[Shape, ...] = ()
    checked: str = ""
    checked_on: str = ""


def fill(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A copy with the key where its place was."""

    def put(part: object) -> object:
        if isinstance(part, Mapping):
            return {name: put(item) for name, item in part.items()}
        if isinstance(part, list):
            return [put(item) for item in part]
        return part.replace(KEY, key) if isinstance(part, str) else part

    return {name: put(item) for name, item in values.items()}
