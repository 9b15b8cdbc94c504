"""Adapters: one small file for each system that can be measured beside Bellwire.

| adapter | was run | written after |
| --- | --- | --- |
| `bellwire` | here | this repository |
| `trivial` | here | `bench/trivial.py` |
| `centrifugo` | never | its documentation: server API, client protocol, JWT |
| `novu` | never | its API reference and socket.io's protocol |
| `chimely` | never | its client's README and the README of its own load test |
"""

from collections.abc import Callable, Mapping

from bench.peers.bellwire import Bellwire
from bench.peers.centrifugo import Centrifugo
from bench.peers.chimely import Chimely
from bench.peers.novu import Novu
from bench.peers.peer import Peer
from bench.peers.trivial import Trivial

PEERS: Mapping[str, Callable[[str, str], Peer]] = {
    "bellwire": Bellwire,
    "trivial": Trivial,
    "centrifugo": Centrifugo,
    "novu": Novu,
    "chimely": Chimely,
}
"""Each is made with a producer's key and the secret that signs users' tokens."""
