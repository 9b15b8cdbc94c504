"""The address of a primary that sentinels know: `redis://user:password@a:26379,b:26379/0?master=NAME`.

User, password and database are those of Redis. `sentinel_username` and `sentinel_password` are those of the
sentinels; `rediss://` and all other parameters hold for both.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

PORT = 26379
_URL = re.compile(r"(rediss?)://(?:([^/?#]*)@)?([^/?#@]*)(/[^?#]*)?(?:\?([^#]*))?")
_NODE = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
OWN = ("master", "sentinel_username", "sentinel_password")
"""The parameters that redis-py does not know."""


class NoMaster(ValueError):
    """The address does not name the master."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelUrl:
    """What such an address says."""

    master: str
    sentinels: Sequence[str]
    """The URL of each sentinel."""
    server: str
    """The URL of Redis, with the first sentinel as its host."""

    def __repr__(self) -> str:
        """Without the passwords."""
        return f"{type(self).__name__}({self.master!r})"


def parse(url: str) -> SentinelUrl:
    """Read an address. Raises ValueError, with a message that quotes nothing of it."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError("must begin with redis:// or rediss://, without a # or a second ?")
    scheme, login, hosts, path, query = found.groups(default="")
    given = parse_qsl(query, keep_blank_values=True)
    own = {name: value for name, value in given if name in OWN}
    rest = urlencode([(name, value) for name, value in given if name not in OWN])
    nodes = [_node(host) for host in hosts.split(",")]
    if not own.get("master"):
        raise NoMaster("needs ?master=… with the name that the sentinels have for the primary")
    at = _login(own.get("sentinel_username", ""), own.get("sentinel_password", ""))
    of_sentinels = urlencode([(name, value) for name, value in parse_qsl(rest) if name != "db"])
    return SentinelUrl(
        master=own["master"],
        sentinels=[f"{scheme}://{at}{node}?{of_sentinels}".rstrip("?") for node in nodes],
        server=f"{scheme}://{login}{'@' * bool(login)}{nodes[0]}{path}?{rest}".rstrip("?"),
    )


def _node(text: str) -> str:
    """A host with its port."""
    found = _NODE.fullmatch(text.strip())
    if found is None or not 0 < int(found[2] or PORT) <= 65535:
        raise ValueError("must have host or host:port of each sentinel, separated by commas")
    return f"{found[1]}:{found[2] or PORT}"


def _login(name: str, password: str) -> str:
    return f"{quote(name, safe='')}:{quote(password, safe='')}@" if name or password else ""
