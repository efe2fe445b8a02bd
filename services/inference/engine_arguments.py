"""The command line that our Python launchers share: the part of llama-server's flags that the stack uses.

Text in, values out; the only input besides is the environment variable of the API key. No third-party
import, so that a wrong command line is refused at once, before an engine is loaded.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

API_KEY_VARIABLE = "LLAMA_API_KEY"
POOLINGS = ("none", "mean", "cls", "last", "rank")
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


def build_parser(description: str) -> argparse.ArgumentParser:
    """A parser of llama-server's flags, with its names, units and meanings."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--model", required=True, help="GGUF file (the first one of a split model)")
    parser.add_argument("--alias", required=True, help="name the model is served under")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=_parse_port, required=True)
    parser.add_argument("--ctx-size", type=_parse_positive, required=True, help="tokens, all slots together")
    parser.add_argument("--parallel", type=_parse_positive, default=1, help="slots")
    parser.add_argument("--threads", type=_parse_positive, help="CPU threads; default: one per core")
    parser.add_argument("--batch-size", type=_parse_positive, help="most tokens in one batch")
    parser.add_argument("--ubatch-size", type=_parse_positive, help="most tokens in one physical batch")
    parser.add_argument("--n-gpu-layers", type=int, help="layers to offload; default: as many as fit")
    parser.add_argument("--flash-attn", choices=("on", "off", "auto"))
    parser.add_argument("--cache-type-k", choices=CACHE_TYPES, help="element type of the KV cache's keys")
    parser.add_argument("--cache-type-v", choices=CACHE_TYPES, help="element type of the KV cache's values")
    parser.add_argument("--pooling", choices=POOLINGS, help="default: what the model file says")
    parser.add_argument("--embeddings", action="store_true", help="serve embeddings only")
    return parser


def parse_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; ends the program with 2 and one line where it cannot be served as asked."""
    parsed = parser.parse_args(arguments)
    if not Path(parsed.model).is_file():
        parser.error(f"model file not found: {parsed.model}")
    if not read_api_key() and not _is_loopback(parsed.host):
        parser.error(f"{API_KEY_VARIABLE} is not set: without a key only a loopback address is served")
    return parsed


def read_api_key() -> str:
    """The key that clients must send, empty when none is asked for."""
    return os.environ.get(API_KEY_VARIABLE, "")


def wants_repacking() -> bool:
    """Whether weights are rearranged for this CPU's fastest kernels; reads the variable that llama-server reads."""
    return os.environ.get("LLAMA_ARG_REPACK", "1").lower() not in ("0", "off", "false", "disabled")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parse_port(text: str) -> int:
    if not 1 <= (port := int(text)) <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not between 1 and 65535")
    return port


def _parse_positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not positive")
    return number
