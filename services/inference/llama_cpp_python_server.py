"""Serve one model with llama-cpp-python, with the routes and the key of llama.cpp's own server.

In: llama-server's flags (engine_arguments.py) and the API key in the environment. Does I/O: reads the
model, listens on one port until SIGTERM or SIGINT. It answers one request at a time: others wait.
To the package's routes it adds what the stack's probes need and the package has not: GET /health (503
while the model loads), GET /props, and a GET /v1/models that does not wait for a running answer.
Exit status: 0 stopped by a signal, 1 the model did not load or the port is taken, 2 bad command line.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from engine_arguments import build_parser, parse_arguments, read_api_key, wants_repacking

# Longer than the gateway keeps an idle connection (LiteLLM: 60 s), so that it is never this side that
# closes one in the moment it is used again.
KEEP_ALIVE_S = 75
STOP_GRACE_S = 2

# The package's own routes beside these (documentation pages, a copy of Copilot's) are not for clients.
PACKAGE_ROUTES = frozenset(
    f"/{name}"
    for name in (
        "v1/chat/completions",
        "v1/completions",
        "v1/embeddings",
        "extras/tokenize",
        "extras/tokenize/count",
        "extras/detokenize",
    )
)
POOLING_TYPES = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}  # enum llama_pooling_type

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Door:
    """The ASGI application in front of the package's: readiness, the key, and the routes that the package lacks.

    Attributes:
        package_app: the package's application, None while the model loads.
        facts: the body of the answer to /props.
    """

    def __init__(self, alias: str, key: str) -> None:
        self.alias = alias
        self.key = key
        self.package_app: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
        self.facts: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        path = scope["path"]
        if path == "/health" and self.package_app:
            await self._answer(send, 200, {"status": "ok"})
        elif path != "/health" and not self._has_key(scope):
            await self._refuse(send, 401, "Invalid API Key", "authentication_error")
        elif self.package_app is None:
            await self._refuse(send, 503, "Loading model", "unavailable_error")
        elif path == "/props":
            await self._answer(send, 200, self.facts)
        elif path == "/v1/models":
            await self._answer(send, 200, {"object": "list", "data": [{"id": self.alias, "object": "model"}]})
        elif path in PACKAGE_ROUTES:
            await self.package_app(scope, receive, send)
        else:
            await self._refuse(send, 404, "File Not Found", "not_found_error")

    def _has_key(self, scope: Scope) -> bool:
        sent = dict(scope["headers"]).get(b"authorization", b"")
        return not self.key or secrets.compare_digest(sent, f"Bearer {self.key}".encode())

    async def _refuse(self, send: Send, status: int, message: str, kind: str) -> None:
        await self._answer(send, status, {"error": {"code": status, "message": message, "type": kind}})

    async def _answer(self, send: Send, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class OneModel:
    """What the package's routes ask for a model by name: always the one that is loaded."""

    def __init__(self, alias: str, llama: Any) -> None:
        self.alias = alias
        self.llama = llama

    def __call__(self, _name: str | None = None) -> Any:
        return self.llama

    def __iter__(self) -> Iterator[str]:
        return iter((self.alias,))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal arrives; returns the exit status."""
    parser = build_parser("Serve a GGUF model with llama-cpp-python, one request at a time.")
    options = parse_arguments(parser, arguments)
    if options.parallel != 1:
        parser.error(f"--parallel {options.parallel}: this engine has one slot")
    import uvicorn  # only now, so that a wrong argument is refused in milliseconds

    door = Door(options.alias, read_api_key())
    server = uvicorn.Server(
        uvicorn.Config(
            door,
            host=options.host,
            port=options.port,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_GRACE_S,
        )
    )
    failures: list[Exception] = []

    def load() -> None:
        try:
            open_door(door, options)
        except Exception as error:  # whatever it is, the process must end and say it
            failures.append(error)
            server.should_exit = True

    threading.Thread(target=load, daemon=True).start()
    # Not left to the interpreter: it would wait for the thread that computes an answer nobody reads. And
    # uvicorn, once it has shut down, raises the signal again for whoever handled it before.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    try:
        server.run()
    except SystemExit:  # uvicorn could not listen, and has said why
        return 1
    print(f"error: {options.model} could not be loaded: {failures[0]}", file=sys.stderr)
    return 1


def open_door(door: Door, options: argparse.Namespace) -> None:
    """Load the model and let requests through to it."""
    import llama_cpp

    llama = load_model(options)
    door.facts = {
        "default_generation_settings": {"n_ctx": llama.n_ctx()},
        "total_slots": 1,
        "model_alias": options.alias,
        "model_path": options.model,
        "build_info": f"llama-cpp-python {llama_cpp.__version__}",
    }
    door.package_app = build_package_app(OneModel(options.alias, llama))


def load_model(options: argparse.Namespace) -> Any:
    """Load the model that the command line describes.

    Raises:
        ValueError: the file is no model that this build of llama.cpp can load.
    """
    import llama_cpp

    class Llama(llama_cpp.Llama):  # type: ignore[misc]  # a class that is known at run time only
        """The package's model, with embeddings as llama.cpp's server gives them: of length 1, never of a cut input."""

        def embed(self, input: Any, **options: Any) -> Any:
            return super().embed(input, **{**options, "normalize": True, "truncate": False})

    if not wants_repacking():
        turn_repacking_off(llama_cpp.llama_cpp)
    chosen = {
        "n_batch": options.batch_size,
        "n_ubatch": options.ubatch_size,
        "pooling_type": POOLING_TYPES.get(options.pooling),
        "type_k": find_type(llama_cpp, options.cache_type_k),
        "type_v": find_type(llama_cpp, options.cache_type_v),
        "flash_attn": options.flash_attn == "on" or None,
    }
    threads = options.threads or count_cores()
    return Llama(
        model_path=options.model,
        n_ctx=options.ctx_size,
        n_gpu_layers=-1 if options.n_gpu_layers is None else options.n_gpu_layers,
        n_threads=threads,
        n_threads_batch=threads,
        embedding=options.embeddings,
        verbose=False,
        **{name: value for name, value in chosen.items() if value is not None},
    )


def turn_repacking_off(library: Any) -> None:
    """Load models without rearranged weights: the package's class has no argument for it."""
    take_defaults = library.llama_model_default_params

    def take_plain() -> Any:
        parameters = take_defaults()
        parameters.use_extra_bufts = False
        return parameters

    library.llama_model_default_params = take_plain


def build_package_app(model: OneModel) -> Any:
    """The package's routes alone: its own application adds open CORS and documentation pages.

    ``interrupt_requests`` is off: on, which is its default, a second request cuts the first one's stream.
    """
    from fastapi import FastAPI
    from llama_cpp.server import app as routes
    from llama_cpp.server.settings import ServerSettings

    routes.set_server_settings(ServerSettings(interrupt_requests=False, api_key=None))
    routes._llama_proxy = model
    app = FastAPI(openapi_url=None)
    app.include_router(routes.router)
    return app


def find_type(llama_cpp: Any, name: str | None) -> int | None:
    """llama.cpp's number of an element type of the KV cache; None for None."""
    return None if name is None else int(getattr(llama_cpp, f"GGML_TYPE_{name.upper()}"))


def count_cores() -> int:
    """Physical cores, as llama.cpp counts them; the package would use half of the logical ones."""
    siblings = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    return len({path.read_text() for path in siblings}) or os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
