"""Coroutines for callers that wait: a notebook has a running loop already, in which none can be started."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def result_of(work: Coroutine[Any, Any, T]) -> T:
    """What this coroutine gives, from a loop in a thread of its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="blocking") as thread:
        return thread.submit(asyncio.run, work).result()
