"""Apache Kafka as companies run it: listeners with TLS, logins and certificates, and ACLs."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.certificates import Authority, Signed
from workbench.apache_kafka import ApacheKafkaServer
from workbench.embedded import LOOPBACK, free_port

USER, PASSWORD = "bellwire", "s3cret; with /+ and %"
SESSION_MS = 1_500
"""How long the listener `brief` lets a client go without logging in again."""
_SASL = "org.apache.kafka.common.security"
_PROTOCOLS = {
    "login": "SASL_SSL",
    "six": "SASL_SSL",
    "token": "SASL_SSL",
    "certificate": "SSL",
    "brief": "SASL_SSL",
    "clear": "SASL_PLAINTEXT",
}


@dataclass(frozen=True)
class SecureKafka:
    """A broker whose clients may do nothing without an ACL, except on its plaintext listener."""

    server: ApacheKafkaServer
    ports: Mapping[str, int]
    """Those of the listeners: `login` and, where there is IPv6, `six` (PLAIN and SCRAM), `token`
    (OAUTHBEARER), `certificate` (mutual TLS), `brief` (SCRAM and tokens, for a short time), and
    `clear` (PLAIN without TLS).
    """
    authority: Authority
    client: Signed

    def address(self, listener: str) -> str:
        return _address(listener, self.ports[listener])

    def environment(self, listener: str, **chosen: str) -> dict[str, str]:
        """The settings of a client of this listener that are always the same, and others."""
        given = {"bootstrap": self.address(listener), "tls": "true", "ca": str(self.authority.certificate)}
        return {f"BELLWIRE_KAFKA_{name.upper()}": value for name, value in (given | chosen).items() if value}

    def allow(self, principal: str, topic: str, group: str, *operations: str) -> None:
        """Let a principal do these on the topics whose names begin so, and read in a group."""
        bindings = [_binding(ResourceType.TOPIC, topic, principal, operation) for operation in operations]
        if group:
            bindings.append(_binding(ResourceType.GROUP, group, principal, "READ"))
        admin = AdminClient({"bootstrap.servers": self.server.bootstrap})
        for done in admin.create_acls(bindings).values():
            done.result(20)


def _binding(kind: ResourceType, name: str, principal: str, operation: str) -> AclBinding:
    return AclBinding(
        kind, name, ResourcePatternType.PREFIXED, principal, "*",
        AclOperation[operation], AclPermissionType.ALLOW,
    )  # fmt: skip


def make(folder: Path, home: Path) -> SecureKafka:
    """Make one, and do not start it."""
    authority = Authority(folder)
    ports = {name: free_port() for name in _PROTOCOLS if name != "six" or _has_six()}
    broker = authority.sign("broker", LOOPBACK, "::1")
    scram = [
        f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]"
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
    ]
    server = ApacheKafkaServer(
        folder,
        home=home,
        changed=partial(_secured, ports=ports, broker=broker, authority=authority),
        formatted=scram,
    )
    return SecureKafka(server, ports, authority, authority.sign("client"))


def _secured(
    settings: dict[str, str], *, ports: Mapping[str, int], broker: Signed, authority: Authority
) -> dict[str, str]:
    listeners = "".join(f",{name.upper()}://{_address(name, port)}" for name, port in ports.items())
    protocols = "".join(
        f",{name.upper()}:{protocol}" for name, protocol in _PROTOCOLS.items() if name in ports
    )
    scram = f"{_SASL}.scram.ScramLoginModule required;"
    token = f'{_SASL}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="x";'
    plain = f'{_SASL}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    own = {
        "six": {"SCRAM-SHA-512": scram},
        "login": {"PLAIN": plain, "SCRAM-SHA-256": scram, "SCRAM-SHA-512": scram},
        "token": {"OAUTHBEARER": token},
        "brief": {"SCRAM-SHA-512": scram, "OAUTHBEARER": token},
        "clear": {"PLAIN": plain},
    }
    for name, mechanisms in own.items():
        settings[f"listener.name.{name}.sasl.enabled.mechanisms"] = ",".join(mechanisms)
        for mechanism, login in mechanisms.items():
            settings[f"listener.name.{name}.{mechanism.lower()}.sasl.jaas.config"] = login
    return settings | {
        "listeners": settings["listeners"] + listeners,
        "advertised.listeners": settings["advertised.listeners"] + listeners,
        "listener.security.protocol.map": settings["listener.security.protocol.map"] + protocols,
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.certificate.ssl.client.auth": "required",
        "listener.name.brief.connections.max.reauth.ms": str(SESSION_MS),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(broker.chain),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _address(listener: str, port: int) -> str:
    return f"{'[::1]' if listener == 'six' else LOOPBACK}:{port}"


def _has_six() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True
