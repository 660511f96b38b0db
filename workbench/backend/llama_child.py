"""The child process of `embedded`: llama.cpp's own server on a free loopback port.

    python -m workbench.backend.llama_child MODEL.gguf --context-tokens 8192 --slots 2 --threads 2

It reads its API key from the first line of standard input, prints its address when the model is loaded, and runs
until standard input closes: when whoever started it goes, however that happens, it goes too.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path

import xllamacpp  # type: ignore[import-untyped]  # a compiled module without stubs

_PR_SET_PDEATHSIG = 1
"""See prctl(2)."""

_LOG_ERRORS_ONLY = 1


def main() -> None:
    """Serve until standard input closes."""
    _die_with_parent()
    announcement = _keep_stdout()
    server = serve(_arguments(), key=sys.stdin.readline().strip())
    os.write(announcement, f"{server.listening_address}\n".encode())
    sys.stdin.read()
    os._exit(0)  # at once: there is nothing to save, and a reply may be half-way


def serve(arguments: argparse.Namespace, *, key: str) -> xllamacpp.Server:
    """A running server; returns when the model is loaded. Raises RuntimeError when it cannot be."""
    params = xllamacpp.CommonParams()
    params.model.path = str(arguments.gguf)
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]  # loopback is open to every web page and every user of this machine
    params.cors_origins = ""
    params.ui = False
    params.use_jinja = True
    params.n_parallel = arguments.slots
    params.n_ctx = arguments.context_tokens * arguments.slots  # llama.cpp divides it among the slots
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    params.sampling.penalty_repeat = 1.2  # without it, one reply in five repeats itself until `max_tokens`
    params.cache_ram_mib = 0  # by default it would keep up to 8 GiB of old prompts
    params.endpoint_slots = True
    params.verbosity = _LOG_ERRORS_ONLY
    return xllamacpp.Server(params)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llama_child", description="llama.cpp's server as a child process")
    parser.add_argument("gguf", type=Path)
    parser.add_argument("--context-tokens", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    return parser.parse_args()


def _keep_stdout() -> int:
    """A descriptor for the announcement alone; whatever llama.cpp prints goes to standard error from here on."""
    announcement = os.dup(1)
    os.dup2(2, 1)
    return announcement


def _die_with_parent() -> None:
    """Ask Linux for a SIGKILL when the parent dies; elsewhere the closed standard input has to do, once loaded."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
