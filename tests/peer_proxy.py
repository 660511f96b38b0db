"""A peer's proxy for tests: it answers by itself, on the port that it is given."""

from __future__ import annotations

import sys

import uvicorn

from benchmarks.stand_ins.openai import StandInOpenAI
from benchmarks.stand_ins.serving import listen, quiet_config

if __name__ == "__main__":
    with listen(int(sys.argv[1])) as bound:
        uvicorn.Server(quiet_config(StandInOpenAI())).run(sockets=[bound])
