"""The HTTP proxies that the environment names for requests to others."""

from urllib.parse import urlsplit

from entrypoints.addresses import is_loopback


def proxy_for(url: str) -> str:
    """The URL of the proxy for an https URL (HTTPS_PROXY, ALL_PROXY, NO_PROXY, also in lower case). Empty:
    none, as for http URLs, which are allowed for this machine only.
    """
    where = urlsplit(url)
    if where.scheme != "https" or is_loopback(where.hostname or ""):
        return ""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow

    found = getproxies()
    if proxy_bypass(where.netloc):
        return ""
    return found.get("https") or found.get("all", "")
