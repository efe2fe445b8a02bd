"""OpenAI's Responses format for servers that speak chat completions. Pure: dictionaries in, dictionaries or bytes out.

``translate`` makes of one request's body the chat body to send and the ``ResponsesAnswer`` that makes of the chat
server's chunks the events that the client waits for.

Source: OpenAI's API reference, "Responses" and "Streaming events", as the types of its Python SDK have them.
"""

from gateway.formats.responses.answer import ResponsesAnswer
from gateway.formats.responses.request import keep_openai_fields, translate

__all__ = ["ResponsesAnswer", "keep_openai_fields", "translate"]
