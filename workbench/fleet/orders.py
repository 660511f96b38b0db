"""How many machines somebody ordered by hand. An order is in force while the command that placed it runs.

Then the load decides, but an order of none lasts until somebody asks for a machine again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import TypeAdapter, ValidationError

from workbench.cache.store import Store
from workbench.errors import StoreError

TENANT = "fleet"
NAME = "order-1"

LAPSES_AFTER_S = 300.0
"""An order whose command is gone without a word is in force so long after it was last heard of."""


@dataclass(frozen=True, slots=True)
class Order:
    """So many machines, in force until `until_s` (seconds since 1970); `id` tells one order from the next."""

    id: str
    count: int
    until_s: float


_ORDER = TypeAdapter(Order)


class Orders:
    """The order in the store, and the one that this process placed. `clock` is seconds since 1970."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._mine: Order | None = None
        self._lock = asyncio.Lock()

    async def read(self) -> Order | None:
        """The last order, in force or not; raises `StoreError`."""
        return (await self._read())[0]

    async def place(self, count: int) -> None:
        """Order so many, instead of what was ordered before; raises `StoreError`."""
        async with self._lock:
            _, version = await self._read()
            order = Order(secrets.token_hex(8), count, self._clock() + LAPSES_AFTER_S)
            if not await self._write(order, version):
                raise StoreError("somebody else changed the order at the same time; try again")
            self._mine = order

    async def keep(self) -> None:
        """Put off the end of the own order when a third of its time is over, unless another came.

        Raises `StoreError`.
        """
        async with self._lock:
            until_s = self._clock() + LAPSES_AFTER_S
            if self._mine and until_s - self._mine.until_s > LAPSES_AFTER_S / 3:
                self._mine = await self._ending(self._mine, until_s)

    async def lift(self) -> None:
        """End the own order, unless another came; raises `StoreError`."""
        async with self._lock:
            if self._mine:
                await self._ending(self._mine, self._clock())
            self._mine = None

    async def _ending(self, mine: Order, until_s: float) -> Order | None:
        """The own order with this end; None when somebody replaced it."""
        found, version = await self._read()
        order = replace(mine, until_s=until_s)
        is_mine = found is not None and found.id == mine.id
        return order if is_mine and await self._write(order, version) else None

    async def _read(self) -> tuple[Order | None, int | None]:
        found = await self._store.state(TENANT, NAME)
        try:
            return (_ORDER.validate_json(found.value), found.version) if found else (None, None)
        except ValidationError:
            raise StoreError("the fleet's order cannot be read; was it written by a newer version?") from None

    async def _write(self, order: Order, version: int | None) -> bool:
        return await self._store.set_state(TENANT, NAME, _ORDER.dump_json(order), expected=version)
