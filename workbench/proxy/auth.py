"""Who is asking, and may they: key → tenant and scope, and the check of the host name.

Without keys everybody on this machine is the tenant `default` with admin scope; the server then binds to
loopback only, and the host check keeps web pages from reaching it under a name of their own (DNS rebinding).
A bad or missing key is 403 and not 401: Claude Code repeats a 401 in a storm.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fastapi import Request

from workbench.errors import ConfigurationError, Forbidden

Scope = Literal["use", "admin"]
DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client: whose entries it sees, and what it may do."""

    tenant: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key by its SHA-256, so that comparing takes the same time whatever its length."""

    sha256: bytes
    caller: Caller

    @classmethod
    def of(cls, secret: str, caller: Caller) -> KnownKey:
        """The key with this secret."""
        return cls(_sha256(secret), caller)


class Gate:
    """Lets requests in or raises `Forbidden`; knows all keys and all host names that the server goes by."""

    def __init__(self, *, keys: Iterable[KnownKey], bound_host: str, allowed_hosts: Iterable[str]) -> None:
        self._keys = tuple(keys)
        allowed = {host.lower() for host in allowed_hosts}
        # Beyond loopback it is the key that protects, and the server cannot know all names that it goes by.
        self._any_host = "*" in allowed or (not allowed and not is_loopback(bound_host))
        self._hosts = allowed | {bound_host.lower()}
        if not self._keys and not is_loopback(bound_host):
            raise ConfigurationError(
                f"host {bound_host} is reachable from other machines and there are no keys: anybody could use it. "
                "Set WORKBENCH_KEYS=tenant:admin:secret, or bind to 127.0.0.1"
            )

    @property
    def has_keys(self) -> bool:
        """Whether clients need one."""
        return bool(self._keys)

    def check_host(self, request: Request) -> None:
        """Refuse a Host, or a web page's Origin, that is not this server's."""
        origin = request.headers.get("origin")
        for name in (request.headers.get("host", ""), _host_of(origin) if origin else None):
            if name is not None and not self._is_ours(name):
                raise Forbidden(f"host {name!r} is not served here; add it to WORKBENCH_ALLOWED_HOSTS if it should be")

    def admit(self, request: Request) -> Caller:
        """The caller that a key names; raises `Forbidden`."""
        if not self._keys:
            return Caller(DEFAULT_TENANT, "admin" if _is_local(request) else "use")
        presented = [_sha256(key) for key in _presented(request)]
        found: Caller | None = None
        for sha256 in presented:
            for known in self._keys:  # all of them, always: the time taken says nothing
                if hmac.compare_digest(known.sha256, sha256):
                    found = found or known.caller  # the first that is presented and known counts
        if found is None:
            raise Forbidden("the API key is " + ("not known here" if presented else "missing") + "; see WORKBENCH_KEYS")
        return found

    def admit_admin(self, request: Request) -> Caller:
        """The caller, if it has the admin scope; raises `Forbidden`."""
        caller = self.admit(request)
        if caller.scope != "admin":
            raise Forbidden("this needs a key with the admin scope (without keys: a client on this machine)")
        return caller

    def _is_ours(self, name: str) -> bool:
        host = _without_port(name).lower()
        return self._any_host or host in self._hosts or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach this host name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_local(request: Request) -> bool:
    return request.client is not None and is_loopback(request.client.host)


def _presented(request: Request) -> list[str]:
    """Every key that the request carries: Claude Code may send both kinds at once."""
    bearer = request.headers.get("authorization", "")
    keys = [request.headers.get("x-api-key", ""), bearer[7:] if bearer[:7].lower() == "bearer " else ""]
    return [key.strip() for key in keys if key.strip()]


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return origin


def _without_port(name: str) -> str:
    if name.startswith("["):
        address, _, port = name[1:].partition("]")
        return address if not port or port.startswith(":") else name
    return name.rpartition(":")[0] if ":" in name else name


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
