"""Who is compared, in the order of the tables."""

from __future__ import annotations

from benchmarks.peers.cachellm import CACHELLM
from benchmarks.peers.gptcache import GPTCACHE
from benchmarks.peers.litellm import LITELLM
from benchmarks.peers.ollama_herd import OLLAMA_HERD
from benchmarks.peers.ours import OURS
from benchmarks.peers.peer import Peer
from benchmarks.peers.redisvl import REDISVL
from benchmarks.peers.smg import SMG

PEERS: tuple[Peer, ...] = (OURS, GPTCACHE, REDISVL, CACHELLM, LITELLM, SMG, OLLAMA_HERD)
