"""The HTTP proxies that the environment names (HTTPS_PROXY and others)."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def may_proxy(url: str) -> bool:
    """Whether a proxy of the environment may be used for a URL. Not for this machine: the proxy would ask its
    own, and NO_PROXY seldom names it.
    """
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
