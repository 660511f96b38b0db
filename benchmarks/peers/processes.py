"""A peer's processes: a group of their own, which is gone when the block ends, and what it has resident."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import MIB, STOP_LIMIT_S, uninterrupted
from benchmarks.peers.environments import PeerSkipped
from benchmarks.stand_ins.serving import listen

LOG_LINES = 20
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Threads of a matrix product get in each other's way on two cores: all are measured with one."""


@dataclass(frozen=True, slots=True)
class Group:
    """A running program and all that it started; it writes `out` and `log` into `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def resident_mib(self) -> float:
        """What all its processes have resident together; shared pages count in each."""
        pages = 0
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):  # it may end while we look
                if os.getpgid(int(entry.name)) == self.process.pid:
                    pages += int((entry / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MIB

    def wait(self, *, limit_s: float) -> bytes:
        """What it wrote to stdout until it ended well; raises `PeerSkipped`."""
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise self._skipped(f"did not end within {limit_s:g} s") from None
        if code:
            raise self._skipped(f"ended with {code}")
        return (self.folder / "out").read_bytes()

    def wait_until_answering(self, url: str, *, limit_s: float, holding: str = "") -> None:
        """Return once the address answers with `holding` in its body; raises `PeerSkipped`."""
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            if (code := self.process.poll()) is not None:
                raise self._skipped(f"ended with {code} before it answered")
            if _answers(url, holding):
                return
            time.sleep(0.1)
        raise self._skipped(f"did not answer within {limit_s:g} s")

    def _skipped(self, reason: str) -> PeerSkipped:
        """Its last words go to our stderr: they may hold paths, and a results file is published."""
        words = (self.folder / "log").read_text(errors="replace").splitlines()[-LOG_LINES:]
        print(*words, sep="\n", file=sys.stderr)
        return PeerSkipped(reason)


def free_port() -> int:
    """A port that nobody listens on, for a server that cannot choose its own."""
    with listen() as bound:
        port: int = bound.getsockname()[1]
        return port


@contextlib.contextmanager
def group(command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Group]:
    """Run a program with `folder` as its home and none of the user's settings; raises `PeerSkipped`."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    homes = {"HOME": str(folder), "TMPDIR": str(folder)}
    process: subprocess.Popen[bytes] | None = None
    try:
        with uninterrupted():
            process = _started(command, folder, known | homes | ONE_THREAD | dict(environment or {}))
        yield Group(process, folder)
    finally:
        if process:
            _end(process)


def _started(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with (folder / "out").open("wb") as out, (folder / "log").open("wb") as log:
        try:
            return subprocess.Popen(  # noqa: S603  # a peer's
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise PeerSkipped(f"could not be started ({error.strerror})") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """The leader may be gone before the others: the group is ended in any case."""
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_LIMIT_S)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group_id: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group_id, number)


def _answers(url: str, holding: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # an address of our own
            return holding.encode() in answer.read()
    except (OSError, http.client.HTTPException):
        return False
