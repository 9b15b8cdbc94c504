"""HTTP to processes on this machine."""

import ssl
from typing import Any

import httpx


def local_client(**options: Any) -> httpx.AsyncClient:
    """A client without certificate authorities: reading them would take 40 ms per client, and the processes
    here speak plain HTTP.
    """
    return httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), **options)
