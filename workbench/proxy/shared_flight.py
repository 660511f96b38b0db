"""One upstream call for all proxies of a store: who does not lead waits for the leader's reply and replays it.

To its flight this is a call like any other, so its readers get pings meanwhile, and the last one who leaves ends it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Literal, Protocol

from workbench.errors import StoreError
from workbench.proxy.flight import Call
from workbench.reply import Event, Reply, replay

log = logging.getLogger(__name__)


class Claims(Protocol):
    """Who answers a question for all; a store of one process has none."""

    async def claim(self, tenant: str, digest: str) -> Literal["granted", "stored", "released", "again"]:
        """Try to lead, else wait a while: ours; there is a reply; another's try came to nothing; nothing was heard.

        Raises `StoreError`.
        """

    def release(self, tenant: str, digest: str, *, stored: bool) -> None:
        """The try is over; waits for nothing, and does nothing where we do not lead."""


class SharedCall:
    """A call that is made only if no other proxy makes it.

    `read` gives the stored reply; `finish` is what is done with a reply of our own, and tells whether it was stored.
    Without the store everybody calls for himself.
    """

    def __init__(
        self,
        call: Call,
        claims: Claims,
        *,
        tenant: str,
        digest: str,
        read: Callable[[], Awaitable[Reply | None]],
        finish: Callable[[Reply], Awaitable[bool]],
    ) -> None:
        self.followed = False
        self._call = call
        self._claims = claims
        self._tenant = tenant
        self._digest = digest
        self._read = read
        self._finish = finish

    @property
    def thinker(self) -> str:
        """Who answers, if it is ours to know."""
        return self._call.thinker

    @property
    def reason(self) -> str:
        """Why that Thinker."""
        return self._call.reason

    @property
    def queued_s(self) -> float:
        """How long our own call waited for its turn."""
        return self._call.queued_s

    @property
    def waits(self) -> str:
        """Where our own call stands, while it waits."""
        return self._call.waits

    async def events(self) -> AsyncGenerator[Event, None]:
        """The reply's events: of our own call as they come, or another's all at once."""
        if reply := await self._follow():
            self.followed = True
            for event in replay(reply):
                yield event
            return
        async with aclosing(self._call.events()) as events:
            async for event in events:
                yield event

    async def finish(self, reply: Reply) -> None:
        """Do what is to be done with a reply, and let those who wait know."""
        if not self.followed:
            stored = await self._finish(reply)
            self._claims.release(self._tenant, self._digest, stored=stored)

    def over(self) -> None:
        """The flight has ended, whatever came of it: nobody waits for it any longer."""
        self._claims.release(self._tenant, self._digest, stored=False)

    async def _follow(self) -> Reply | None:
        """Another proxy's reply; None when the call is ours to make."""
        try:
            while True:
                match await self._claims.claim(self._tenant, self._digest):
                    case "granted" | "released":
                        return None
                    case "stored":
                        return await self._read()
                    case "again":
                        log.debug("flight.waits digest=%s", self._digest[:16])
        except StoreError as error:
            log.debug("flight.alone error=%r", error)
            return None
