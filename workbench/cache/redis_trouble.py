"""Why a Redis cannot be asked: what its own words mean and, where there are none, what listens there instead."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError

from workbench.cache.findings import Finding, fail


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return (str(error).splitlines() or [""])[0].strip() or type(error).__name__


def shown_url(url: str) -> str:
    """Without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def why_not(url: str, error: BaseException, timeout_s: float) -> Finding:
    """What `error` means, which came of the first try to speak to the server at this URL."""
    shown, said = shown_url(url), first_line(error)
    if isinstance(error, BusyLoadingError):
        return fail("store", f"{shown} is still loading its data", "wait until it has; the proxy goes on without it")
    if isinstance(error, AuthenticationError) or said.startswith(("NOAUTH", "WRONGPASS")):
        return fail(
            "store",
            f"{shown} refuses the user or the password: {said}",
            "put both into the URL: redis://user:password@host:port",
        )
    if isinstance(error, NoPermissionError):
        return fail("store", f"{shown} lets this user do nothing: {said}", "allow it +@all -@dangerous +info")
    if "DENIED" in said:
        return fail(
            "store",
            f"{shown} is in protected mode: it answers its own machine only",
            "give it a password (requirepass)",
        )
    if "max number of clients" in said:
        return fail("store", f"{shown} has as many clients as it may", "raise its maxclients, or take a larger plan")
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return fail(
            "store",
            f"the certificate of {shown} is not trusted: {said}",
            "install its CA, or name the host as the certificate does",
        )
    return await _probed(url, said, timeout_s)


async def _probed(url: str, said: str, timeout_s: float) -> Finding:
    """What listens there, if anything: found out by speaking to it both ways."""
    parts, shown = urlsplit(url), shown_url(url)
    host, port = parts.hostname or "localhost", parts.port or 6379
    try:
        plain = await _reply_to_ping(host, port, timeout_s)
    except (OSError, TimeoutError) as error:
        return fail(
            "store",
            f"{shown} cannot be reached: {first_line(error)}",
            "check host and port, that it runs, and that no firewall is between",
        )
    if parts.scheme == "rediss" and plain.startswith((b"+", b"-")):
        return fail(
            "store", f"{shown} asks for TLS and the port speaks plain Redis", "write redis://, or name its TLS port"
        )
    if parts.scheme == "redis" and not plain.startswith((b"+", b"-")) and await _speaks_tls(host, port, timeout_s):
        return fail("store", f"{shown} asks for plain Redis and the port speaks TLS", "write rediss://")
    return fail(
        "store", f"{shown} gives no answer of Redis: {said}", "check host and port; is it a Redis that is not hung?"
    )


async def _reply_to_ping(host: str, port: int, timeout_s: float) -> bytes:
    """The first bytes that come back; none where it is silent or hangs up.

    Raises `OSError` or `TimeoutError` when nothing listens.
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port)
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(timeout_s):
                writer.write(b"PING\r\n")
                await writer.drain()
                return await reader.read(16)
        return b""
    finally:
        await _hang_up(writer)


async def _speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False  # only whether it is TLS: nothing is sent
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    await _hang_up(writer)
    return True


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await writer.wait_closed()
