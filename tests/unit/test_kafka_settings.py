"""How Kafka's clients connect and log in: which settings go together, and what is said of the others."""

import os
import re
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from entrypoints.container.parts.base import build
from entrypoints.container.parts.kafka import WithKafka
from entrypoints.settings import InvalidSettings, Settings
from tests.certificates import Authority, Signed

PASSWORD = {"username": "bellwire", "password": "secret"}
BEARER = {"sasl_mechanism": "OAUTHBEARER"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def signed(authority: Authority) -> Signed:
    return authority.sign("client")


@pytest.fixture(scope="module")
def encrypted(authority: Authority) -> Signed:
    return authority.sign("encrypted", password="of the key")


def read(chosen: Mapping[str, object]) -> Settings:
    return Settings.read({f"BELLWIRE_KAFKA_{name.upper()}": str(value) for name, value in chosen.items()})


@pytest.mark.parametrize(
    ("chosen", "mechanism"),
    [
        ({}, ""),
        (PASSWORD, "SCRAM-SHA-512"),
        (PASSWORD | {"sasl_mechanism": "PLAIN"}, "PLAIN"),
        ({"sasl_mechanism": "SCRAM-SHA-512"}, ""),  # the default, as in .env.example
        (BEARER | {"token_command": "cat /token"}, "OAUTHBEARER"),
        (BEARER | PASSWORD | {"token_url": "https://example.com/token"}, "OAUTHBEARER"),
    ],
)
def test_settings_that_go_together_say_how_to_log_in(chosen: dict[str, str], mechanism: str) -> None:
    assert read(chosen).kafka_mechanism == mechanism


def test_extensions_are_pairs() -> None:
    chosen = BEARER | {
        "token_command": "cat /token",
        "sasl_extensions": "logicalCluster=lkc-1, identityPoolId=p",
    }
    assert read(chosen).kafka_extensions == {"logicalCluster": "lkc-1", "identityPoolId": "p"}


@pytest.mark.parametrize("ways", [("certificate", "key"), ("chain", "")])
def test_certificates_are_read(authority: Authority, signed: Signed, ways: tuple[str, str]) -> None:
    certificate, key = ways
    chosen = {"tls": "true", "ca": authority.certificate, "certificate": getattr(signed, certificate)}
    context = read(chosen | ({"key": getattr(signed, key)} if key else {})).kafka_encryption()

    assert context is not None
    assert context.check_hostname
    assert [found["subject"] for found in context.get_ca_certs()] == [((("commonName", "Test authority"),),)]


def test_a_file_that_is_replaced_is_used_for_the_next_connections(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority(tmp_path, "Other authority").certificate
    file = tmp_path / "mine.pem"
    shutil.copy(authority.certificate, file)
    context = build(WithKafka, read({"tls": "true", "ca": file})).kafka_login()["ssl_context"]

    def trusted() -> str:
        begun = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="kafka")
        ((((_, name),),),) = [found["subject"] for found in begun.context.get_ca_certs()]
        return str(name)

    assert trusted() == "Test authority"
    file.write_bytes(other.read_bytes())
    os.utime(file, (1, 1))
    assert trusted() == "Other authority"
    for seconds in (2, 2, 3):
        file.write_text("half of a certificate")
        os.utime(file, (seconds, seconds))
        assert trusted() == "Other authority"
    file.unlink()
    assert trusted() == "Other authority"
    assert caplog.text.count(f"kafka_ca {file} has no certificate in PEM format") == 2
    shutil.copy(authority.certificate, file)
    assert trusted() == "Test authority"


def test_a_key_that_a_password_encrypts_is_read(encrypted: Signed) -> None:
    chosen = {"certificate": encrypted.certificate, "key": encrypted.key, "key_password": "of the key"}
    assert read({"tls": "true"} | chosen).kafka_encryption() is not None


@pytest.mark.parametrize(
    ("chosen", "name", "said"),
    [
        ({"ca": "ca.pem"}, "CA", "is used only with BELLWIRE_KAFKA_TLS=true"),
        ({"certificate": "a.pem"}, "CERTIFICATE", "is used only with BELLWIRE_KAFKA_TLS=true"),
        ({"tls": "true", "key": "k.pem"}, "KEY", "is used only with BELLWIRE_KAFKA_CERTIFICATE"),
        (
            {"tls": "true", "key_password": "k"},
            "KEY_PASSWORD",
            "is used only with BELLWIRE_KAFKA_CERTIFICATE",
        ),
        ({"sasl_mechanism": "PLAIN"}, "SASL_MECHANISM", "PLAIN needs BELLWIRE_KAFKA_USERNAME and"),
        ({"username": "x"}, "USERNAME", "needs BELLWIRE_KAFKA_PASSWORD"),
        ({"password": "x"}, "PASSWORD", "needs BELLWIRE_KAFKA_USERNAME"),
        (BEARER, "SASL_MECHANISM", "OAUTHBEARER needs either BELLWIRE_KAFKA_TOKEN_COMMAND or"),
        (
            BEARER | {"token_command": "cat x", "token_url": "https://x.example"},
            "SASL_MECHANISM",
            "OAUTHBEARER needs either",
        ),
        (BEARER | {"token_command": "no-such-program x"}, "TOKEN_COMMAND", "no program 'no-such-program'"),
        (BEARER | {"token_command": "cat 'x"}, "TOKEN_COMMAND", "is no command line: No closing quotation"),
        (BEARER | {"token_url": "https://x.example"}, "TOKEN_URL", "the client id and its secret"),
        (BEARER | PASSWORD | {"token_url": "http://x.example"}, "TOKEN_URL", "must begin with https://"),
        (BEARER | PASSWORD | {"token_url": "x"}, "TOKEN_URL", "is not a URL such as"),
        (BEARER | {"token_command": "cat x", "sasl_extensions": "a"}, "SASL_EXTENSIONS", "NAME=VALUE"),
        (BEARER | {"token_command": "cat x", "sasl_extensions": "auth=x"}, "SASL_EXTENSIONS", "NAME=VALUE"),
        ({"token_scope": "x"}, "TOKEN_SCOPE", "is used only with BELLWIRE_KAFKA_SASL_MECHANISM=OAUTHBEARER"),
        ({"aws_region": "x"}, "AWS_REGION", "is used only with BELLWIRE_KAFKA_SASL_MECHANISM=AWS_MSK_IAM"),
        ({"sasl_mechanism": "AWS_MSK_IAM"}, "SASL_MECHANISM", "AWS_MSK_IAM needs BELLWIRE_KAFKA_AWS_REGION"),
        (
            {"sasl_mechanism": "AWS_MSK_IAM", "aws_region": "eu-west-1"},
            "SASL_MECHANISM",
            "AWS_MSK_IAM needs BELLWIRE_KAFKA_TLS=true",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(chosen: dict[str, str], name: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"^BELLWIRE_KAFKA_{name}: .*{re.escape(said)}"):
        read(chosen)
    assert name.lower() in chosen, "it names one that is set: the doctor goes on without it"


@pytest.fixture
def files(
    authority: Authority, signed: Signed, encrypted: Signed, tmp_path: Path
) -> Mapping[str, Mapping[str, object]]:
    """Files that cannot be used, by the name of the setting that is refused and a number."""
    text, unreadable = tmp_path / "text.pem", tmp_path / ".*folder.pem"
    text.write_text("no certificate")
    unreadable.mkdir(exist_ok=True)
    certificate = {"certificate": signed.certificate}
    return {
        "CA 1": {"ca": tmp_path / "away.pem"},
        "CA 2": {"ca": text},
        "CA 3": {"ca": unreadable},
        "CERTIFICATE 1": {"certificate": tmp_path / "away.pem"},
        "CERTIFICATE 2": {"certificate": text, "key": signed.key},
        "CERTIFICATE 3": certificate,
        "KEY 1": certificate | {"key": tmp_path / "away.pem"},
        "KEY 2": certificate | {"key": text},
        "KEY 3": certificate | {"key": authority.sign("other").key},
        "KEY 4": {"certificate": encrypted.certificate, "key": encrypted.key},
        "KEY_PASSWORD 1": {"certificate": encrypted.certificate, "key": encrypted.key, "key_password": "x"},
    }


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("CA 1", "there is no file .*away.pem"),
        ("CA 2", ".*text.pem has no certificate in PEM format"),
        ("CA 3", ".*folder.pem cannot be read: Is a directory"),
        ("CERTIFICATE 1", "there is no file .*away.pem"),
        ("CERTIFICATE 2", ".*text.pem has no certificate in PEM format"),
        ("CERTIFICATE 3", ".*client.pem has no private key in PEM format"),
        ("KEY 1", "there is no file .*away.pem"),
        ("KEY 2", ".*text.pem has no private key in PEM format"),
        ("KEY 3", "is not the key of BELLWIRE_KAFKA_CERTIFICATE"),
        ("KEY 4", "cannot be read; if it is encrypted, set BELLWIRE_KAFKA_KEY_PASSWORD"),
        ("KEY_PASSWORD 1", "does not decrypt the private key"),
    ],
)
def test_files_that_cannot_be_used_are_one_line(
    files: Mapping[str, Mapping[str, object]], which: str, said: str
) -> None:
    with pytest.raises(InvalidSettings, match=rf"^BELLWIRE_KAFKA_{which.split(maxsplit=1)[0]}: {said}$"):
        read({"tls": "true"} | dict(files[which]))
