"""The client of a connection, and what the trusted proxies in front of the service say of it."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

from entrypoints.proxies import Proxies
from entrypoints.web.state import found_in

logger = logging.getLogger(__name__)

Address: TypeAlias = IPv4Address | IPv6Address

# Proxies in a row, and commas tried as the start of an element: a header can be made of nothing else.
_MOST_HOPS = 32
_MOST_COMMAS = 128

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PAIR = rf"{_WORD}=(?:{_WORD}|{_QUOTED})"
# RFC 7239 §4: empty parts are allowed, as in every list of HTTP.
_ELEMENT = re.compile(rf"(?:[ \t]*{_PAIR})?(?:[ \t]*;(?:[ \t]*{_PAIR})?)*[ \t]*")
_PAIRS = re.compile(rf"({_WORD})=({_WORD}|{_QUOTED})")
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9A-Za-z._-]+)?|([0-9.]+):[0-9A-Za-z._-]+")


def client_address(scope: Mapping[str, Any]) -> str:
    """The IP address of the client: that of the peer, or the one that trusted proxies say. Empty on a Unix
    socket without such a proxy.
    """
    client = scope.get("client")
    peer = str(client[0]) if client and client[0] else ""
    proxies = _proxies(scope)
    known = _canonical(peer)
    if proxies is None:
        return known
    if not proxies.trusts(_parsed(peer), unix=not peer):
        _suspect(known, proxies, scope["headers"])
        return known
    return _behind(known, proxies, scope["headers"])


def client_network(scope: Mapping[str, Any]) -> str:
    """The party that limits count: the IPv4 address, or the /64 of an IPv6 address, because a client can take
    any address in it.
    """
    return network_of(client_address(scope))


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The same for an address."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return address


def _suspect(peer: str, proxies: Proxies, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Log once, if the peer looks like a proxy that was forgotten: all its clients would share limits."""
    if not proxies.strangers and proxies.header.encode() in dict(headers):
        proxies.strangers.add(peer)
        logger.warning(
            "%s sends the header %s and is not in BELLWIRE_TRUSTED_PROXIES: "
            "if it is a proxy, all its clients share the limits of one address",
            peer or "the peer on the Unix socket (`unix`)",
            proxies.header,
        )


def _behind(peer: str, proxies: Proxies, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The last address before the trusted proxies. Each adds its peer on the right; what stands further left
    comes from somebody who is not trusted.
    """
    name = proxies.header.encode()
    value = ",".join(text.decode("latin-1") for field, text in headers if field == name)
    known = peer
    for hop, _ in zip(
        _forwarded(value) if proxies.standard else _listed(value), range(_MOST_HOPS), strict=False
    ):
        address = _parsed(hop)
        if address is None:  # `unknown`, an obfuscated name (RFC 7239 §6.3), or nonsense
            break
        known = str(address)
        if not proxies.trusts(address):
            break
    return known


def _listed(value: str) -> Iterator[str]:
    """The entries of X-Forwarded-For, the last one first."""
    end = len(value)
    while end >= 0 and value:
        start = value.rfind(",", 0, end)
        entry = value[start + 1 : end].strip(' \t"')
        if entry:
            yield entry
        end = start


def _forwarded(value: str) -> Iterator[str]:
    """The `for` of each element of Forwarded (RFC 7239), the last one first.

    Read from the right, because the left part may have been written by anybody: a quote that is opened there
    and not closed would hide what the proxy added.
    """
    end = start = len(value)
    for _ in range(_MOST_COMMAS):
        start = value.rfind(",", 0, start)
        element = value[start + 1 : end]
        if _ELEMENT.fullmatch(element):
            if element.strip():
                named = {name.lower(): text for name, text in _PAIRS.findall(element)}
                yield _unquoted(named.get("for", "unknown"))
            end = start
        if start < 0:
            return


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


@lru_cache(maxsize=4096)
def _canonical(peer: str) -> str:
    return str(_parsed(peer) or peer)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    """An address, which may have a port; IPv4 if it is one that is mapped to IPv6."""
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _proxies(scope: Mapping[str, Any]) -> Proxies | None:
    """Those of the application that serves the connection."""
    app = scope.get("litestar_app")
    return found_in(app, Proxies) if app is not None else None
