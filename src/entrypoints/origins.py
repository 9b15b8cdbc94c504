"""Origins of pages in the form in which browsers send them, so that they can be compared."""

from urllib.parse import urlsplit

import idna

_PORTS = {"http": 80, "https": 443}


def check_origins(text: str) -> None:
    """Check a list of origins. Each must be written exactly as browsers send it: one in another form would
    never match, without any error. Raises ValueError.
    """
    for origin in text.replace(",", " ").split():
        if "*" in origin:
            raise ValueError(f"{origin}: there is no wildcard; list each origin, such as https://example.com")
        if origin != "null" and origin != (normal := _normal(origin)):
            raise ValueError(f"{origin} is never sent by a browser in this form; write {normal}")


def _normal(text: str) -> str:
    """Return the origin with scheme and host in lower case, the host in ASCII, no default port and no slash
    at the end (https://url.spec.whatwg.org/#origin). Raises ValueError if it is not an origin, such as a URL
    with a path.
    """
    try:
        url = urlsplit(text)
        host, given = url.hostname, url.port
        if host and not host.isascii():
            host = idna.encode(host, uts46=True).decode("ascii")
    except ValueError as error:
        raise ValueError(f"{text} is not an origin: {error}") from error
    if not (url.scheme and host and url.path in {"", "/"}) or "@" in url.netloc or url.query or url.fragment:
        raise ValueError(f"{text} is not an origin, such as https://example.com")
    if ":" in host:
        host = f"[{host}]"
    port = "" if given in {None, _PORTS.get(url.scheme)} else f":{given}"
    return f"{url.scheme}://{host}{port}"
