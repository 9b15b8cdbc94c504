"""Settings of Kafka: the servers, and how every client connects and logs in."""

import re
import shlex
import shutil
import ssl
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Annotated, Literal

import msgspec

from entrypoints.addresses import Unusable, secure_url

_WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_EXTENSION = re.compile(r"([A-Za-z]+)=([\x21-\x2b\x2d-\x7e]+)")
"""RFC 7628, section 3.1, without the comma."""
_FILES = ("kafka_ca", "kafka_certificate", "kafka_key")
_ENCRYPTED_ONLY = (*_FILES, "kafka_key_password")
_BEARER_ONLY = ("kafka_token_command", "kafka_token_url", "kafka_token_scope", "kafka_sasl_extensions")


class Mistake(Exception):
    """A setting that cannot be used with the others: `name` and `reason`."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Those whose names begin with BELLWIRE_KAFKA_."""

    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_topic: str = "bellwire.notifications"
    kafka_partitions: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 12
    kafka_replication: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    kafka_group: str = "bellwire"
    kafka_tls: bool = False
    kafka_ca: str = ""
    kafka_certificate: str = ""
    kafka_key: str = ""
    kafka_key_password: str = ""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] = (
        "SCRAM-SHA-512"
    )
    kafka_username: str = ""
    kafka_password: str = ""
    kafka_token_command: str = ""
    kafka_token_url: str = ""
    kafka_token_scope: str = ""
    kafka_sasl_extensions: str = ""
    kafka_aws_region: str = ""
    kafka_session_seconds: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 30
    kafka_fetch_wait_ms: Annotated[int, msgspec.Meta(ge=1, le=30_000)] = 100

    def check_kafka(self) -> None:
        """Raise Mistake if these or files cannot be used together. It names one that is set."""
        self._check_needless()
        if self.kafka_sasl_mechanism == "OAUTHBEARER":
            self._check_tokens()
        elif self.kafka_sasl_mechanism == "AWS_MSK_IAM":
            self._check_aws()
        else:
            self._check_password()
        self.kafka_encryption()

    def kafka_encryption(self) -> ssl.SSLContext | None:
        """What to encrypt with; None without TLS. Raises Mistake if a file cannot be used."""
        if not self.kafka_tls:
            return None
        for name in _FILES:
            _check_file(name, getattr(self, name))
        try:
            context = ssl.create_default_context(cafile=self.kafka_ca or None)
        except ssl.SSLError:
            raise Mistake("kafka_ca", f"{self.kafka_ca} has no certificate in PEM format") from None
        if self.kafka_certificate:
            self._load_certificate(context)
        return context

    @property
    def kafka_files(self) -> Sequence[str]:
        """The files that `kafka_encryption` reads."""
        return [path for name in _FILES if (path := getattr(self, name))]

    @property
    def kafka_mechanism(self) -> str:
        """How clients log in; empty if they do not."""
        named = self.kafka_username or self.kafka_sasl_mechanism not in _WITH_PASSWORD
        return self.kafka_sasl_mechanism if named else ""

    @property
    def kafka_extensions(self) -> dict[str, str]:
        """The SASL extensions by name. Raises Mistake."""
        return dict(_extensions(self.kafka_sasl_extensions))

    def _check_needless(self) -> None:
        """A setting that would have no effect shows a misunderstanding."""
        for name in _ENCRYPTED_ONLY:
            if getattr(self, name) and not self.kafka_tls:
                raise Mistake(name, "is used only with BELLWIRE_KAFKA_TLS=true")
        if (self.kafka_key or self.kafka_key_password) and not self.kafka_certificate:
            name = "kafka_key" if self.kafka_key else "kafka_key_password"
            raise Mistake(name, "is used only with BELLWIRE_KAFKA_CERTIFICATE")
        for name in _BEARER_ONLY:
            if getattr(self, name) and self.kafka_sasl_mechanism != "OAUTHBEARER":
                raise Mistake(name, "is used only with BELLWIRE_KAFKA_SASL_MECHANISM=OAUTHBEARER")
        if self.kafka_aws_region and self.kafka_sasl_mechanism != "AWS_MSK_IAM":
            raise Mistake("kafka_aws_region", "is used only with BELLWIRE_KAFKA_SASL_MECHANISM=AWS_MSK_IAM")

    def _check_password(self) -> None:
        if self.kafka_username and not self.kafka_password:
            raise Mistake("kafka_username", "needs BELLWIRE_KAFKA_PASSWORD")
        if self.kafka_password and not self.kafka_username:
            raise Mistake("kafka_password", "needs BELLWIRE_KAFKA_USERNAME")
        # The default says nothing of what was meant.
        if not self.kafka_username and self.kafka_sasl_mechanism != KafkaSettings().kafka_sasl_mechanism:
            needed = "BELLWIRE_KAFKA_USERNAME and BELLWIRE_KAFKA_PASSWORD"
            raise Mistake("kafka_sasl_mechanism", f"{self.kafka_sasl_mechanism} needs {needed}")

    def _check_tokens(self) -> None:
        if bool(self.kafka_token_command) == bool(self.kafka_token_url):
            needed = "either BELLWIRE_KAFKA_TOKEN_COMMAND or BELLWIRE_KAFKA_TOKEN_URL"
            raise Mistake("kafka_sasl_mechanism", f"OAUTHBEARER needs {needed}")
        if self.kafka_token_command:
            _check_command(self.kafka_token_command)
        else:
            try:
                secure_url(self.kafka_token_url)
            except Unusable as reason:
                raise Mistake("kafka_token_url", str(reason)) from None
            if not (self.kafka_username and self.kafka_password):
                needed = "BELLWIRE_KAFKA_USERNAME and BELLWIRE_KAFKA_PASSWORD, the client id and its secret"
                raise Mistake("kafka_token_url", f"needs {needed}")
        _ = self.kafka_extensions

    def _check_aws(self) -> None:
        for name, given in (("AWS_REGION", self.kafka_aws_region), ("TLS=true", self.kafka_tls)):
            if not given:
                raise Mistake("kafka_sasl_mechanism", f"AWS_MSK_IAM needs BELLWIRE_KAFKA_{name}")
        if find_spec("aws_msk_iam_sasl_signer") is None:
            raise Mistake(
                "kafka_sasl_mechanism", "AWS_MSK_IAM needs the package aws-msk-iam-sasl-signer-python"
            )

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        # Without a password of ours OpenSSL would ask the terminal for one.
        password = self.kafka_key_password
        try:
            context.load_cert_chain(self.kafka_certificate, self.kafka_key or None, lambda: password)
        except ssl.SSLError as error:
            raise self._mistake_of_certificate(error) from None

    def _mistake_of_certificate(self, error: ssl.SSLError) -> Mistake:
        with_key = "kafka_key" if self.kafka_key else "kafka_certificate"
        if error.reason == "KEY_VALUES_MISMATCH":
            return Mistake(with_key, "is not the key of BELLWIRE_KAFKA_CERTIFICATE")
        if not _has(self.kafka_certificate, b"-BEGIN CERTIFICATE-"):
            return Mistake("kafka_certificate", f"{self.kafka_certificate} has no certificate in PEM format")
        if not _has(getattr(self, with_key), b"PRIVATE KEY-"):
            return Mistake(with_key, f"{getattr(self, with_key)} has no private key in PEM format")
        if self.kafka_key_password:
            return Mistake("kafka_key_password", "does not decrypt the private key")
        return Mistake(with_key, "cannot be read; if it is encrypted, set BELLWIRE_KAFKA_KEY_PASSWORD")


def _check_file(name: str, path: str) -> None:
    if not path:
        return
    try:
        with open(path, "rb"):  # noqa: PTH123 - pathlib takes long to import
            pass
    except FileNotFoundError:
        raise Mistake(name, f"there is no file {path}") from None
    except OSError as error:
        raise Mistake(name, f"{path} cannot be read: {error.strerror}") from None


def _has(path: str, mark: bytes) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return mark in file.read()


def _check_command(line: str) -> None:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise Mistake("kafka_token_command", f"is no command line: {error}") from None
    if not words or shutil.which(words[0]) is None:
        program = words[0] if words else ""
        raise Mistake("kafka_token_command", f"there is no program {program!r}")


def _extensions(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _EXTENSION.fullmatch(part)
        if found is None or found[1] == "auth":
            raise Mistake("kafka_sasl_extensions", "must be NAME=VALUE, or several separated by commas")
        yield found[1], found[2]
