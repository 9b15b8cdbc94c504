"""The proxies in front of the service that are believed about their clients."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

UNIX: Final = "unix"
FORWARDED: Final = "Forwarded"
RULE: Final = (
    "must be addresses and networks (10.0.0.0/8, fd00::/8) and `unix`, separated by spaces or commas"
)


@dataclass(frozen=True, slots=True)
class Proxies:
    """Addresses of proxies, and the header in which they name their peers."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    unix: bool
    """Whether the peer on a Unix socket is one."""
    header: str
    """Its name in lower case."""
    strangers: set[str] = field(default_factory=set, compare=False)
    """A peer that sent the header and is not one of them: the first, which was logged."""

    @classmethod
    def parse(cls, text: str, header: str) -> "Proxies":
        """Read the settings. Raises ValueError."""
        named = text.replace(",", " ").split()
        try:
            networks = tuple(ip_network(one) for one in named if one != UNIX)
        except ValueError as error:
            message = f"{RULE}: {error}"
            raise ValueError(message) from None
        return cls(networks, UNIX in named, header.lower())

    @property
    def standard(self) -> bool:
        """Whether they use the header Forwarded (RFC 7239)."""
        return self.header == FORWARDED.lower()

    def trusts(self, address: IPv4Address | IPv6Address | None, *, unix: bool = False) -> bool:
        """Whether the peer with this address is one, or the peer on a Unix socket."""
        if unix:
            return self.unix
        return address is not None and any(address in network for network in self.networks)
