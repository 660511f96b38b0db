"""A stand-in vast.ai: its endpoints, shapes, gaps and races over loopback or in process, and what it would charge.

Alone with ``python -m benchmarks.stand_ins.vast``. Over loopback each running instance is a real sshd with a scripted
Ollama behind it::

    with running(StandInVast(hosting=SshHosting(), gaps_s={})) as url:
        ...

In process, on a virtual clock and without sshd::

    stand_in = StandInVast(clock=lambda: loop.time())
    client = VastClient(SecretStr(stand_in.key), transport=stand_in.transport(), clock=loop.time, base_url="http://vast")

Source of the shapes: vast.ai's API reference and its published client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from fractions import Fraction

import httpx2
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from benchmarks.stand_ins.serving import listen, quiet_config, serve_in_thread
from benchmarks.stand_ins.vast_answers import Answers, Told, refused
from benchmarks.stand_ins.vast_hosting import Hosting, NoHosting
from benchmarks.stand_ins.vast_interference import after, before, gateway_error
from benchmarks.stand_ins.vast_market import Market
from benchmarks.stand_ins.vast_rows import Row, UnknownField
from benchmarks.stand_ins.vast_script import MACHINES, Life, Lives, Machine, Troubles, all_well, no_trouble
from benchmarks.stand_ins.vast_ssh import SshHosting

GAPS_S: Mapping[str, float] = {
    "search": 6.0,
    "create": 4.5,
    "show": 2.0,
    "list": 1.0,
    "change": 1.0,
    "destroy": 3.0,
    "bid": 5.5,
    "attach": 2.0,
    "charges": 1.0,
}
"""Seconds between two calls of an endpoint; sooner is 429."""

TICK_S = 0.02

_PATHS = (
    ("POST", "/api/v0/bundles/", "search"),
    ("PUT", "/api/v0/asks/", "create"),
    ("GET", "/api/v1/instances/", "list"),
    ("PUT", "/api/v0/instances/bid_price/", "bid"),
    ("PUT", "/api/v0/instances/request_logs/", "logs"),
    ("POST", "/api/v0/instances/", "attach"),
    ("GET", "/api/v0/instances/", "show"),
    ("PUT", "/api/v0/instances/", "change"),
    ("DELETE", "/api/v0/instances/", "destroy"),
    ("GET", "/api/v0/charges/", "charges"),
    ("GET", "/api/v0/users/current", "account"),
)
_READS = ("search", "list", "show", "charges", "account", "logs")


class StandInVast:
    """The server. `clock` tells seconds since 1970; `lives` and `troubles` say what goes wrong.

    `outages` are stretches of the clock in which every call is answered 502. `bad_key_status` is how a wrong key is
    answered. `strings` gives fractional numbers as text; instances lack the fields in `untold`. `calls` counts what
    was asked, refused or not, and `too_early` what came sooner than the gaps allow.
    """

    def __init__(
        self,
        market: Iterable[Machine] = MACHINES,
        *,
        hosting: Hosting | None = None,
        clock: Callable[[], float] = time.time,
        lives: Lives = all_well,
        troubles: Troubles = no_trouble,
        outages: Iterable[tuple[float, float]] = (),
        gaps_s: Mapping[str, float] = GAPS_S,
        key: str = "stand-in-key",
        credit_usd: float = 100.0,
        bad_key_status: int = 401,
        strings: bool = False,
        untold: Iterable[str] = (),
    ) -> None:
        self.key = key
        self.outages = list(outages)
        self.market = Market(market, clock=clock, lives=lives)
        self.hosting: Hosting = hosting or NoHosting()
        self.troubles = troubles
        self.calls: Counter[str] = Counter()
        self.too_early: Counter[str] = Counter()
        self._clock = clock
        self._gaps_s = gaps_s
        self._last_s: dict[str, float] = {}
        self._bad_key_status = bad_key_status
        credit = Fraction(str(credit_usd))
        self._answers = Answers(
            self.market, hosting=self.hosting, credit_usd=credit, strings=strings, untold=frozenset(untold)
        )
        self.app = self._routes()

    def transport(self) -> httpx2.ASGITransport:
        """Talk to it without a network."""
        return httpx2.ASGITransport(app=self.app)

    @property
    def labels(self) -> Counter[str]:
        """How often a create was sent for each label."""
        return self._answers.labels

    def charged_usd(self) -> Fraction:
        """What everything cost so far."""
        return self.market.total_usd()

    # ── before the route ────────────────────────────────────────────────────────────────────────────────────

    async def _handle(self, request: Request, act: Callable[[Row], Told]) -> Response:
        """One call: outage, key, pace, what was to go wrong, and only then the act."""
        endpoint = _endpoint(request)
        number, self.calls[endpoint] = self.calls[endpoint], self.calls[endpoint] + 1
        raw = await request.body()
        await self.settle()
        if any(start_s <= self._clock() < end_s for start_s, end_s in self.outages):
            return gateway_error()
        if (refusal := self._refuse_key(request)) or (refusal := self._refuse_haste(endpoint)):
            return refusal
        trouble = self.troubles(endpoint, number)
        if instead := before(trouble, self._gaps_s.get(endpoint, 0.0)):
            return instead
        if endpoint in _READS and trouble is not None:
            return gateway_error()
        try:
            body = orjson.loads(raw) if raw else {}
            done = act(body)
        except UnknownField as error:
            done = refused(400, "invalid_args", f"Invalid field or operator in query: {error}")
        except (orjson.JSONDecodeError, ValueError, TypeError) as error:
            done = refused(400, "invalid_args", str(error))
        await self.settle()
        status, told = done
        response = JSONResponse(told, status)
        return response if status != 200 else await after(trouble, response)

    def _refuse_key(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given == self.key:
            return None
        own = next((each for each in self.market.instances.values() if each.key == given), None)
        if own and str(own.id) in request.url.path.split("/") and request.method in ("DELETE", "PUT", "GET"):
            return None
        told = {"success": False, "error": "auth_error", "msg": "Invalid user api_key"}
        return JSONResponse(told, self._bad_key_status)

    def _refuse_haste(self, endpoint: str) -> Response | None:
        gap_s, now_s = self._gaps_s.get(endpoint, 0.0), self._clock()
        if now_s - self._last_s.get(endpoint, float("-inf")) < gap_s:
            self.too_early[endpoint] += 1
            return PlainTextResponse(f"API requests too frequent endpoint threshold={gap_s}", 429)
        self._last_s[endpoint] = now_s
        return None

    # ── the routes ──────────────────────────────────────────────────────────────────────────────────────────

    def _routes(self) -> FastAPI:
        app = FastAPI(lifespan=self._lifespan, openapi_url=None)

        @app.post("/api/v0/bundles/")
        async def search(request: Request) -> Response:
            return await self._handle(request, self._answers.search)

        @app.put("/api/v0/asks/{offer_id}/")
        async def create(request: Request, offer_id: int) -> Response:
            return await self._handle(request, lambda body: self._answers.create(offer_id, body))

        @app.get("/api/v1/instances/")
        async def listed(request: Request) -> Response:
            return await self._handle(request, lambda _: self._answers.list(request.query_params))

        @app.get("/api/v0/instances/{instance_id}/")
        async def show(request: Request, instance_id: int) -> Response:
            return await self._handle(request, lambda _: self._answers.show(instance_id))

        @app.put("/api/v0/instances/bid_price/{instance_id}/")
        async def bid(request: Request, instance_id: int) -> Response:
            return await self._handle(request, lambda body: self._answers.bid(instance_id, body))

        @app.put("/api/v0/instances/request_logs/{instance_id}/")
        async def logs(request: Request, instance_id: int) -> Response:
            return await self._handle(request, lambda _: self._answers.request_logs(instance_id, str(request.base_url)))

        @app.put("/api/v0/instances/{instance_id}/")
        async def change(request: Request, instance_id: int) -> Response:
            return await self._handle(request, lambda body: self._answers.change(instance_id, body))

        @app.post("/api/v0/instances/{instance_id}/ssh/")
        async def attach(request: Request, instance_id: int) -> Response:
            return await self._handle(request, lambda body: self._answers.attach(instance_id, body))

        @app.delete("/api/v0/instances/{instance_id}/")
        async def destroy(request: Request, instance_id: int) -> Response:
            return await self._handle(request, lambda _: self._answers.destroy(instance_id))

        @app.get("/api/v0/charges/")
        async def charges(request: Request) -> Response:
            return await self._handle(request, lambda _: self._answers.charges(request.query_params))

        @app.get("/api/v0/users/current")
        async def account(request: Request) -> Response:
            return await self._handle(request, lambda _: self._answers.account())

        @app.get("/stand-in/logs/{name}")
        async def log_file(name: str) -> Response:
            return self._answers.log_file(name)

        return app

    # ── around them ─────────────────────────────────────────────────────────────────────────────────────────

    async def settle(self) -> None:
        """Let machines be what the clock says."""
        await self.hosting.settle(self.market)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        ticking = asyncio.create_task(self._tick()) if self.hosting.is_real else None
        try:
            yield
        finally:
            if ticking:
                ticking.cancel()
                await asyncio.gather(ticking, return_exceptions=True)
            await self.hosting.close()

    async def _tick(self) -> None:
        while True:
            await self.settle()
            await asyncio.sleep(TICK_S)


def running(stand_in: StandInVast, *, port: int = 0) -> contextlib.AbstractContextManager[str]:
    """Serve it in a thread while the block runs; yields its address."""
    return serve_in_thread(stand_in.app, port=port)


def _endpoint(request: Request) -> str:
    path = request.url.path
    return next(name for method, start, name in _PATHS if request.method == method and path.startswith(start))


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, with real SSH machines; the first line on stdout is ``{"port": …, "key": …}``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stand_ins.vast", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--loading-s", type=float, default=0.0, help="how long an instance takes to run")
    parser.add_argument("--pull-s", type=float, default=0.0, help="how long its model takes then")
    parser.add_argument("--gaps", action="store_true", help="refuse calls that are closer together than vast.ai allows")
    given = parser.parse_args(arguments)
    life = Life(loading_s=given.loading_s, pull_s=given.pull_s)
    stand_in = StandInVast(hosting=SshHosting(), lives=lambda *_: life, gaps_s=GAPS_S if given.gaps else {})
    with listen(given.port) as bound:
        bound.listen(1024)  # before the port is told: a client may connect at once
        print(orjson.dumps({"port": bound.getsockname()[1], "key": stand_in.key}).decode(), flush=True)
        uvicorn.Server(quiet_config(stand_in.app)).run(sockets=[bound])


if __name__ == "__main__":
    main()
