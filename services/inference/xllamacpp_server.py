"""Serve one model with llama.cpp's own HTTP server, from the prebuilt ``xllamacpp`` wheel.

In: llama-server's flags (engine_arguments.py) and its environment variables for the API key, the prompt
cache and the HTTP threads. Does I/O: reads the model, listens on one port until SIGTERM or SIGINT.
While the model loads, /health answers 503. Exit status: 0 stopped by a signal (while loading, the signal
itself ends it), 1 the model did not load or the port is taken, 2 bad command line.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from engine_arguments import build_parser, parse_arguments, read_api_key, wants_repacking

# For a start by hand; stackctl passes both in the environment, as it does to llama-server.
DEFAULT_PROMPT_CACHE_MIB = "0"
DEFAULT_HTTP_THREADS = "32"

FLASH_ATTENTION = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal arrives; returns the exit status."""
    parser = build_parser("Serve a GGUF model with llama.cpp's own server, from a prebuilt wheel.")
    parser.add_argument("--reranking", action="store_true", help="serve reranking only")
    options = parse_arguments(parser, arguments)
    import xllamacpp  # only now, so that a wrong argument is refused in milliseconds

    parameters = xllamacpp.CommonParams()
    set_model(xllamacpp, parameters, options)
    set_http(parameters, options)
    # The constructor holds the interpreter, so a handler in Python could not run while the model loads; the
    # signals' default action ends the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError:
        print(
            f"error: {options.model} is not served on {options.host}:{options.port}; "
            "the lines above say whether the model did not load or the port is taken",
            file=sys.stderr,
        )
        return 1
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    print(f"serving {options.alias} at {server.listening_address}", file=sys.stderr)
    stopped.wait()
    return 0  # the server's destructor ends its streams and closes the port


def set_model(xllamacpp: Any, parameters: Any, options: argparse.Namespace) -> None:
    """Copy what concerns the model, its context and its memory from the command line."""
    parameters.model.path = options.model
    parameters.n_ctx = options.ctx_size
    parameters.n_parallel = options.parallel
    parameters.cache_ram_mib = int(os.environ.get("LLAMA_ARG_CACHE_RAM", DEFAULT_PROMPT_CACHE_MIB))
    parameters.cache_idle_slots = os.environ.get("LLAMA_ARG_CACHE_IDLE_SLOTS", "0") == "1"
    parameters.verbosity = int(os.environ.get("LLAMA_ARG_LOG_VERBOSITY", parameters.verbosity))
    parameters.offline = True
    parameters.no_extra_bufts = not wants_repacking()
    if options.threads:
        parameters.cpuparams.n_threads = options.threads
        parameters.cpuparams_batch.n_threads = options.threads
    for name, value in (
        ("n_gpu_layers", options.n_gpu_layers),
        ("n_batch", options.batch_size),
        ("n_ubatch", options.ubatch_size),
    ):
        if value is not None:
            setattr(parameters, name, value)
    if options.flash_attn:
        kind = FLASH_ATTENTION[options.flash_attn]
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type[f"LLAMA_FLASH_ATTN_TYPE_{kind}"]
    for name, value in (("cache_type_k", options.cache_type_k), ("cache_type_v", options.cache_type_v)):
        if value:
            setattr(parameters, name, xllamacpp.ggml_type[f"GGML_TYPE_{value.upper()}"])
    parameters.embedding = options.embeddings or options.reranking
    pooling = "rank" if options.reranking else options.pooling
    if pooling:
        parameters.pooling_type = xllamacpp.llama_pooling_type[f"LLAMA_POOLING_TYPE_{pooling.upper()}"]


def set_http(parameters: Any, options: argparse.Namespace) -> None:
    """Copy what concerns the HTTP server from the command line, with everything but the API switched off."""
    parameters.hostnames = [options.host]
    parameters.port = options.port
    parameters.model_alias = {options.alias}
    parameters.n_threads_http = int(os.environ.get("LLAMA_ARG_THREADS_HTTP", DEFAULT_HTTP_THREADS))
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = True
    parameters.ui = False
    # The library's default reflects any origin, which lets any web page use a server on this machine.
    parameters.cors_origins = "none"
    parameters.cors_origins_explicit = True
    parameters.cors_credentials = False
    if key := read_api_key():
        parameters.api_keys = [key]


if __name__ == "__main__":
    sys.exit(main())
