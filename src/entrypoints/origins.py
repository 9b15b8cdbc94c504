"""Origins of pages in the form in which browsers send them, so that they can be compared."""

from urllib.parse import urlsplit

import idna

_PORTS = {"http": 80, "https": 443}


def normal_origin(text: str) -> str:
    """Return the origin with scheme and host in lower case, the host in ASCII, no default port and no slash
    at the end (https://url.spec.whatwg.org/#origin). Raises ValueError if it is not an origin, such as a URL
    with a path.
    """
    if text in {"*", "null"}:
        return text
    url = urlsplit(text)
    host = url.hostname
    if not (url.scheme and host and url.path in {"", "/"}) or "@" in url.netloc or url.query or url.fragment:
        raise ValueError(f"{text} is not an origin, such as https://example.com")
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode("ascii")
    if ":" in host:
        host = f"[{host}]"
    port = "" if url.port in {None, _PORTS.get(url.scheme)} else f":{url.port}"
    return f"{url.scheme}://{host}{port}"
