"""HTTP to processes on this machine."""

import ssl
from typing import Any

import httpx

_IDLE = httpx.Limits(keepalive_expiry=2.0)
"""Shorter than the time after which our processes end a connection: a request could meet that end."""


def local_client(**options: Any) -> httpx.AsyncClient:
    """A client without certificate authorities: reading them would take 40 ms per client, and the processes
    here speak plain HTTP. Nor does it use a proxy that the environment names. It waits for 30 s: on a busy
    machine httpx's 5 s are soon over.
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return httpx.AsyncClient(**{"trust_env": False, "verify": tls, "limits": _IDLE, "timeout": 30, **options})
