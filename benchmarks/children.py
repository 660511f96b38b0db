"""The servers that a benchmark starts, each a process of its own, and what they take from the machine (Linux)."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.stand_ins.serving import LOOPBACK

ROOT = Path(__file__).parents[1]
STOP_LIMIT_S = 15.0
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MIB = 1024 * 1024


class ChildFailed(RuntimeError):
    """A server did not come up; its last words are in the message."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running server. `ready_s` is the time from its start to its first answer."""

    pid: int
    url: str
    ready_s: float

    @property
    def cpu_s(self) -> float:
        """Processor seconds that it has used, all threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mib(self) -> float:
        """Memory that it has resident now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


@contextlib.contextmanager
def server(
    folder: Path,
    *,
    thinker: str,
    store: str = "",
    options: Sequence[str] = (),
    detached: bool = False,
    **variables: str,
) -> Iterator[Child]:
    """`serve.py` with all its data in `folder`, none of the user's settings, ready to answer.

    `thinker` is a stand-in Ollama's address, or a Thinker's URL. The store is a file in `folder` unless one is named.
    `options` are more flags; `variables` are set for it alone and win over all this. A `detached` child lives on when
    this process is interrupted.
    """
    url = thinker if not thinker.startswith("http://") else f"ollama+{thinker}"
    given = ["--port", "0", "--store", store or f"sqlite:///{folder / 'cache.sqlite'}", "--thinker", url, *options]
    began_s = time.perf_counter()
    command = [str(ROOT / "serve.py"), *given]
    with _started(command, folder=folder, variables=variables, detached=detached) as (child, first_line):
        address = re.search(r"http://\S+", first_line)
        if address is None:
            raise ChildFailed(f"serve.py said {first_line!r}:\n{_log(folder)}")
        try:
            urllib.request.urlopen(f"{address[0]}/readyz", timeout=30).close()  # noqa: S310  # an address of our own
        except urllib.error.HTTPError as error:
            with error:
                raise ChildFailed(f"serve.py is up and not ready: {error.read().decode()}") from None
        yield Child(child.pid, address[0], time.perf_counter() - began_s)


@contextlib.contextmanager
def stand_in(module: str, *options: str, folder: Path, detached: bool = False) -> Iterator[Child]:
    """A stand-in that tells its port in its first line."""
    began_s = time.perf_counter()
    command = ["-m", f"benchmarks.stand_ins.{module}", *options]
    with _started(command, folder=folder, detached=detached) as (child, first_line):
        if not first_line:
            raise ChildFailed(f"{module} did not start:\n{_log(folder)}")
        url = f"http://{LOOPBACK}:{orjson.loads(first_line)['port']}"
        yield Child(child.pid, url, time.perf_counter() - began_s)


@contextlib.contextmanager
def _started(
    arguments: Sequence[str], *, folder: Path, variables: Mapping[str, str] | None = None, detached: bool = False
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server without any of the user's settings, and its first line."""
    ours = ("WORKBENCH_", "REDIS_URL", "OLLAMA_HOST", "VAST_API_KEY")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"XDG_DATA_HOME": str(folder), "PYTHONPATH": str(ROOT)} | dict(variables or {})
    group = {"process_group": 0} if detached else {}
    with (
        (folder / "log").open("a") as log,
        spawned(arguments, cwd=folder, env=environment, stderr=log, **group) as child,
    ):
        assert child.stdout is not None
        yield child, child.stdout.readline().decode()


@contextlib.contextmanager
def spawned(arguments: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process with its stdout in a pipe; it is gone when the block ends, however it ends."""
    child: subprocess.Popen[bytes] | None = None
    try:
        with uninterrupted():
            child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, **options)  # noqa: S603  # our own
        yield child
    finally:
        if child:
            _stop(child)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that end this process wait until the block is over, or a child that is just being made would stay."""
    late: list[int] = []
    before = {number: signal.signal(number, lambda number, _: late.append(number)) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for came in late:
            signal.raise_signal(came)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.communicate(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):  # what it was told last came too late
                pipe.close()


def _log(folder: Path) -> str:
    return "\n".join((folder / "log").read_text().splitlines()[-20:])
