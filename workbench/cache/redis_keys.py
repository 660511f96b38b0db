"""What everything is called in Redis: one hash tag a tenant, so that a cluster keeps a tenant on one slot.

The version is in every name: what another version wrote is never read. Names are hashes, keyed with the server's
secret where there is one, so nobody can guess another tenant's.

    {namespace}1:e:{tag}:ref     one entry, a hash
    {namespace}1:w:{tag}:scope   a sorted set: what waits for its vector in this scope
    {namespace}1:b:{tag}:…       a tenant's books: sum, use, exp, new, book, scopes (see `redis_scripts`)
    {namespace}1:s:{tag}:name    shared state, a hash of value and version
    {namespace}1:l:{tag}:ref     the lease of a flight
    {namespace}1:tenants         a set of the tenants' names
    {namespace}1:indexes         a set of the names of the vector indexes that were ever made
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

FORMAT = 1
"""Counted up whenever what is stored changes its meaning."""

BOOKS = ("sum", "use", "exp", "new", "book", "scopes")

ID_CHARACTERS = 16
"""An entry's key is made from its public id, so that both ways lead to it."""


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """One tenant's names."""

    tenant: str
    tag: str
    entries: str
    waiting: str
    books: tuple[str, ...]


class Keys:
    """The names under one namespace and secret."""

    def __init__(self, *, namespace: str = "wb", secret: bytes = b"") -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", namespace):
            raise ValueError(f"the namespace {namespace!r} has other characters than letters, digits, - and _")
        self.prefix = f"{namespace}{FORMAT}"
        self._secret = secret
        self._tenants: dict[str, TenantKeys] = {}

    @property
    def entries(self) -> str:
        """What every entry's key begins with."""
        return f"{self.prefix}:e:"

    @property
    def tenants(self) -> str:
        """The set of all tenants' names."""
        return f"{self.prefix}:tenants"

    @property
    def channel(self) -> str:
        """Where every change is told."""
        return f"{self.prefix}:news"

    @property
    def probe(self) -> str:
        """What a probe writes."""
        return f"{self.prefix}:probe"

    def of(self, tenant: str) -> TenantKeys:
        """A tenant's names; there are as many tenants as there are API keys."""
        found = self._tenants.get(tenant)
        if found is None:
            tag = self._hash("tenant", tenant)
            books = tuple(f"{self.prefix}:b:{{{tag}}}:{name}" for name in BOOKS)
            found = TenantKeys(tenant, tag, f"{self.prefix}:e:{{{tag}}}:", f"{self.prefix}:w:{{{tag}}}:", books)
            self._tenants[tenant] = found
        return found

    def ref(self, tenant: str, digest_or_id: str) -> str:
        """The last part of an entry's key: 32 hex characters."""
        return self._hash("entry", tenant, digest_or_id[:ID_CHARACTERS])

    def scope(self, tenant: str, scope: str) -> str:
        """A scope as the index knows it: 32 hex characters, so a query needs no quoting; no tenant's is another's."""
        return self._hash("scope", tenant, scope)

    def outer(self, tenant: str, outer_scope: str) -> str:
        """An outer scope, likewise."""
        return self._hash("outer", tenant, outer_scope)

    def state(self, tenant: str, name: str) -> str:
        """Where a shared state is kept."""
        return f"{self.prefix}:s:{{{self.of(tenant).tag}}}:{name}"

    def lease(self, tenant: str, digest: str) -> str:
        """Where it stands who answers this question now."""
        return f"{self.prefix}:l:{{{self.of(tenant).tag}}}:{self.ref(tenant, digest)}"

    def _hash(self, *parts: str) -> str:
        message = "\0".join(parts).encode()
        if self._secret:
            return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:32]
        return hashlib.sha256(message).hexdigest()[:32]
