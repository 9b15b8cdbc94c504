"""The examples of deploy/, each run by the proxy that it is for."""

import os
import shutil
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.product import eventually
from workbench.embedded import LOOPBACK, free_port
from workbench.processes import Process

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
OTHER_LOOPBACK = "127.0.0.2"
"""An address of this machine that no proxy connects from."""

Change = tuple[str, str]
"""A text of an example, and what takes its place."""


@dataclass(frozen=True)
class Kind:
    """A proxy: its program, the Debian package with it, and its example."""

    program: str
    example: str
    unix: str
    """What the path of a socket file follows in the address of a server."""
    changes: Callable[[Path, int], Sequence[Change]]
    """What the example needs to run here: a port, and files in a folder."""
    command: Callable[[Path], Sequence[str]]
    """How it is run with a configuration."""
    stripping: Sequence[Change]
    """What makes it serve everything below /bell, and take that off."""
    around: str = "{}"
    """What the example is a part of."""


def _nginx(folder: Path, port: int) -> Sequence[Change]:
    return (
        ("listen 443 ", f"listen {LOOPBACK}:{port} "),
        ("listen [::]:443 ", f"listen [::1]:{port} "),
        ("/etc/ssl/bell.example.crt", f"{folder}/server.pem"),
        ("/etc/ssl/bell.example.key", f"{folder}/server.pem"),
    )


def _caddy(folder: Path, port: int) -> Sequence[Change]:
    own = f"https://bell.example:{port}, https://localhost:{port}, https://{LOOPBACK}:{port}, https://[::1]:{port}"
    return (("\nbell.example {", f"\n{own} {{\n\ttls {folder}/server.pem {folder}/server.pem"),)


def _haproxy(folder: Path, port: int) -> Sequence[Change]:
    return (
        ("bind :443,[::]:443 ", f"bind {LOOPBACK}:{port},[::1]:{port} "),
        ("/etc/haproxy/bell.example.pem", f"{folder}/server.pem"),
        ("maxconn 50000", "maxconn 500"),
    )


KINDS = {
    "nginx": Kind(
        "nginx",
        "nginx.conf",
        "unix:",
        _nginx,
        lambda config: ("-c", str(config), "-e", "stderr"),
        (("location / {\n        proxy_pass http://bellwire;", "location /bell/ {\n        proxy_pass http://bellwire/;"),),
        # One that buffers and compresses all that it can.
        "daemon off; master_process off; events {{}} http {{ access_log off; proxy_buffering on; gzip on; "
        "gzip_types *; gzip_min_length 0; gzip_proxied any;\n{}\n}}\n",
    ),
    "caddy": Kind(
        "caddy",
        "Caddyfile",
        "unix/",
        _caddy,
        lambda config: ("run", "--adapter", "caddyfile", "--config", str(config)),
        (("reverse_proxy 127", "uri strip_prefix /bell\n\treverse_proxy 127"),),
        "{{\n\tadmin off\n\tauto_https off\n}}\n{}",
    ),
    "haproxy": Kind(
        "haproxy",
        "haproxy.cfg",
        "unix@",
        _haproxy,
        lambda config: ("-db", "-f", str(config)),
        (("default_backend", "http-request replace-path /bell(/.*) \\1\n    default_backend"),),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Front:
    """A proxy that runs."""

    process: Process
    port: int
    authority: Path
    """The certificate that its own is signed with."""

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    async def serves(self) -> None:
        """Wait until it passes requests on."""

        async def answers() -> bool:
            assert self.process.running, self.process.log_tail()
            async with self.client() as client:
                try:
                    return (await client.get("/bell/schema/openapi.json")).status_code == 200
                except httpx.TransportError:
                    return False

        await eventually(answers, f"{self.process.name} serves")

    def client(self, address: str = LOOPBACK) -> httpx.AsyncClient:
        """A client that connects from an address of this machine."""
        own = httpx.AsyncHTTPTransport(local_address=address, verify=self.trust)
        return httpx.AsyncClient(base_url=self.url, transport=own, timeout=60)


def in_front(name: str, folder: Path, servers: Sequence[str], changes: Sequence[Change] = ()) -> Front:
    """Start a proxy in front of two servers, each `host:port` or the path of a socket file."""
    kind = KINDS[name]
    program = shutil.which(kind.program) or shutil.which(kind.program, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{kind.program} is not installed: apt install {kind.program}")
    port, authority = free_port(), certificate(folder)
    addresses = [f"{kind.unix}{one}" if one.startswith("/") else one for one in servers]
    own = [(f"127.0.0.1:{there}", here) for there, here in zip((8000, 8010), addresses, strict=True)]
    config = folder / kind.example
    config.write_text(kind.around.format(_changed(kind, [*changes, *kind.changes(folder, port), *own])))
    process = Process(
        name,
        [program, *kind.command(config)],
        log=folder / f"{name}.log",
        environment={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
    )
    process.start()
    return Front(process, port, authority)


def _changed(kind: Kind, changes: Sequence[Change]) -> str:
    text = (DEPLOY / kind.example).read_text()
    for there, here in changes:
        assert there in text, f"{kind.example} has no {there!r}"
        text = text.replace(there, here)
    return text


def certificate(folder: Path) -> Path:
    """Make a certificate for this machine, with its key, in a file; returns it as its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bell.example")])
    names = [x509.DNSName("bell.example"), x509.DNSName("localhost")]
    addresses = [x509.IPAddress(ip_address(one)) for one in (LOOPBACK, "::1")]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .sign(key, SHA256())
    )
    public = made.public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(secret + public)
    (folder / "authority.pem").write_bytes(public)
    return folder / "authority.pem"
