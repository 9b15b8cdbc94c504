"""Apache Kafka with TLS, logins, client certificates and ACLs: all works, and what is wrong is named."""

import asyncio
import re
import shlex
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from adapters.kafka.topics import Topics, ensure_topics
from application.errors import Unavailable, Unconfirmed
from application.letters import DeadLetter
from application.passing import Passing, Seen
from entrypoints.commands.doctor import examine
from entrypoints.container.consumer import ConsumerContainer
from entrypoints.container.dead_letters import DeadLettersContainer
from entrypoints.container.inspection import InspectionContainer
from entrypoints.container.parts.base import build
from entrypoints.container.parts.kafka import WithTopics
from entrypoints.container.passing import PassingContainer
from entrypoints.lifespan import background
from entrypoints.settings import Settings
from tests import conftest, secure_kafka
from tests.build import a_draft
from tests.certificates import Authority
from tests.product import Follower, Product, Service, Stores, create_users, eventually, metric
from tests.secure_kafka import PASSWORD, USER, SecureKafka
from tests.token_server import TokenServer, token
from tests.whole import build as build_whole
from workbench.apache_kafka import require
from workbench.embedded import LOOPBACK
from workbench.local_client import local_client
from workbench.programs import MissingServer

# aiokafka does not wait until a connection that failed is closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

KEY_PASSWORD = "of the key"
END_SECONDS = 60.0
NEEDED = ("READ", "WRITE")
"""What docs/connecting.md says that an account needs on its topics, beside READ on its group."""


@pytest.fixture(scope="module")
def kafka() -> Iterator[SecureKafka]:
    home = conftest._kafka_home()
    try:
        require(home)
    except MissingServer as missing:
        pytest.skip(str(missing))
    with TemporaryDirectory(prefix="bellwire-tests-") as folder:
        made = secure_kafka.make(Path(folder), home)
        made.server.start()
        try:
            yield made
        finally:
            made.server.stop()


def command(folder: Path, printed: str) -> str:
    """A command that prints this."""
    file = folder / "token"
    file.write_text(printed)
    return f"cat {shlex.quote(str(file))}"


def login(kafka: SecureKafka, way: str, folder: Path) -> dict[str, str]:
    """The settings of one way to connect."""
    if way.startswith("certificate"):
        return with_certificate(kafka, way)
    if way == "OAUTHBEARER":
        printed = command(folder, token(USER))
        return kafka.environment("token", sasl_mechanism="OAUTHBEARER", token_command=printed)
    return with_password(kafka, way)


def with_certificate(kafka: SecureKafka, way: str) -> dict[str, str]:
    if way == "certificate with its key":
        return kafka.environment("certificate", certificate=str(kafka.client.chain))
    signed = kafka.authority.sign("encrypted", password=KEY_PASSWORD)
    certificate, key = str(signed.certificate), str(signed.key)
    return kafka.environment("certificate", certificate=certificate, key=key, key_password=KEY_PASSWORD)


def with_password(kafka: SecureKafka, way: str) -> dict[str, str]:
    password = {"username": USER, "password": PASSWORD}
    if way == "IPv6":
        if "six" not in kafka.ports:
            pytest.skip("this machine has no IPv6")
        return kafka.environment("six", **password)
    if way == "several servers":
        several = f"{LOOPBACK}:1, {kafka.address('login')},nowhere.invalid:9092"
        return kafka.environment("login", bootstrap=several, **password)
    if way == "without TLS":
        return kafka.environment("clear", tls="", ca="", sasl_mechanism="PLAIN", **password)
    return kafka.environment("login", sasl_mechanism=way, **password)


PRINCIPALS = {"certificate": "User:CN=encrypted", "certificate with its key": "User:CN=client"}
WAYS = [
    "PLAIN",
    "SCRAM-SHA-256",
    "SCRAM-SHA-512",
    "OAUTHBEARER",
    "certificate",
    "certificate with its key",
    "without TLS",
    "IPv6",
    "several servers",
]


@pytest.fixture
def topics(name: str) -> Topics:
    return Topics(name, conftest.PARTITIONS, replication=1)


@pytest.fixture
async def made(kafka: SecureKafka, topics: Topics) -> Topics:
    """The topics, which an administrator made."""
    await ensure_topics(kafka.server.bootstrap, topics)
    return topics


def settings_of(chosen: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    return Settings.read({**environment, **chosen})


@pytest.mark.parametrize("way", WAYS)
async def test_every_client_connects_this_way(
    kafka: SecureKafka, made: Topics, environment: dict[str, str], tmp_path: Path, way: str
) -> None:
    kafka.allow(PRINCIPALS.get(way, f"User:{USER}"), made.name, made.name, *NEEDED)
    settings = settings_of(login(kafka, way, tmp_path), environment)

    assert await build(ConsumerContainer, settings).broker_answers()()
    await build(WithTopics, settings).ensure_topics()(settings.kafka_bootstrap, made)
    found = await build(InspectionContainer, settings).kafka().look()
    assert set(found.topics) == {made.name, made.dead_letters}


async def test_a_certificate_that_is_replaced_is_used_for_the_next_connections(
    kafka: SecureKafka, environment: dict[str, str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.pem"
    mine.write_bytes(Authority(tmp_path, "Other authority").sign("client").chain.read_bytes())
    settings = settings_of(kafka.environment("certificate", certificate=str(mine)), environment)
    answers = build(ConsumerContainer, settings).broker_answers()

    assert not await answers()
    mine.write_bytes(kafka.client.chain.read_bytes())
    assert await answers()
    mine.write_text("half of a certificate")
    assert await answers()


async def test_an_account_needs_no_more_than_is_documented(
    kafka: SecureKafka, made: Topics, environment: dict[str, str], tmp_path: Path
) -> None:
    """API, consumer, dead letters, replay, tail and doctor, of an account that may not create topics."""
    kafka.allow(f"User:{USER}", made.name, made.name, *NEEDED)
    chosen = environment | login(kafka, "SCRAM-SHA-512", tmp_path)
    async with running(chosen, tmp_path) as product:
        api = await product.api()
        await product.consumer()
        async with api.client("ada") as client:
            await create_users(client, ["ada"])
            async with api.follow("ada") as device:
                await publish_and_read(client, device)
        settings = settings_of(chosen, {})
        await replay_a_dead_letter(kafka, settings, made)
        findings = [finding async for finding in examine(chosen)]
        assert {finding.mark for finding in findings if finding.check in {"kafka", "topics"}} == {"ok"}
        logged = "".join(service.log.read_text() for service in product.started)
        assert "Traceback" not in logged


@asynccontextmanager
async def running(environment: dict[str, str], folder: Path) -> AsyncIterator[Product]:
    product = Product(folder, environment, settings_of(environment, {}))
    try:
        await product.prepare()
        yield product
    finally:
        await product.stop()


async def publish_and_read(client: httpx.AsyncClient, device: Follower) -> None:
    """Publish; it comes live, is stored and indexed, and is read on another way."""
    body = {"user_id": "ada", "event": "a.b", "message": "over TLS"}
    answer = await client.post("/v1/notifications", json=body)
    assert answer.status_code == 202
    await eventually(lambda: device.items, "it comes live")
    (item,) = (await client.get("/v1/users/ada/notifications")).json()["items"]
    assert item["id"] == answer.json()["id"]
    assert (await client.patch(f"/v1/users/ada/notifications/{item['id']}/read")).is_success
    await eventually(lambda: device.unread_count == 0, "it is read")


async def replay_a_dead_letter(kafka: SecureKafka, settings: Settings, topics: Topics) -> None:
    """`bellwire dlq` and `bellwire tail` with these settings."""
    box = build(DeadLettersContainer, settings).kafka_dead_letter_box()
    tail = build(PassingContainer, settings).passage()
    try:
        await tail.start()
        async with AIOKafkaProducer(bootstrap_servers=kafka.server.bootstrap) as producer:
            await producer.send_and_wait(topics.name, b"no JSON", key=b"ada")
        await box.start()

        async def letters() -> list[DeadLetter]:
            found.extend([letter async for letter in box.read(lambda *_: None)])
            return found

        found: list[DeadLetter] = []
        await eventually(letters, "it becomes a dead letter")
        await box.replay(found[0])
        seen: list[Seen] = []

        async def passed() -> bool:
            seen.extend(await tail.next(0.1))
            return sum(isinstance(one, Passing) for one in seen) == 2

        await eventually(passed, "the record and its replay are seen")
    finally:
        await box.stop()
        await tail.stop()


async def test_sessions_and_tokens_that_end_lose_nothing_and_are_not_noticed(
    kafka: SecureKafka, made: Topics, environment: dict[str, str], tmp_path: Path
) -> None:
    """The broker closes each connection 1.5 s after its login (`connections.max.reauth.ms`, KIP-368), and the
    tokens live for 3 s.
    """
    kafka.allow(f"User:{USER}", made.name, made.name, *NEEDED)
    server = TokenServer(USER, 3)
    async with server.serving() as url:
        chosen = environment | kafka.environment(
            "brief",
            sasl_mechanism="OAUTHBEARER",
            token_url=url,
            token_scope="kafka",
            username="id:1",
            password="secret/1",
        )
        async with running(chosen, tmp_path) as product:
            api, consumer = await product.api(), await product.consumer()
            async with api.client("ada") as client:
                await create_users(client, ["ada"])
                async with api.follow("ada") as device:
                    sent = await publish_for_some_sessions(client, [api.process, consumer])
                    await eventually(lambda: set(device.items) == sent, "all come live")
            async with Stores.open(product.settings) as stores:
                assert sorted(await stores.ids()) == sorted(sent)
            assert await metric(api.process, "bellwire_published_total", outcome="unconfirmed") == 0
    assert set(server.forms) == {"grant_type=client_credentials&scope=kafka"}
    assert server.credentials == {"id%3A1:secret%2F1"}
    assert len(server.forms) >= 4


async def publish_for_some_sessions(client: httpx.AsyncClient, services: Sequence[Service]) -> set[str]:
    """Publish all the time; every publish is accepted, and every process stays ready. Returns the ids."""
    sent: set[str] = set()
    until = time.monotonic() + 4 * secure_kafka.SESSION_MS / 1000
    while time.monotonic() < until:
        body = {"user_id": "ada", "event": "a.b", "message": f"{len(sent)}"}
        answer = await client.post("/v1/notifications", json=body)
        assert answer.status_code == 202
        sent.add(answer.json()["id"])
        for service in services:
            health = await client.get(f"{service.url}/health/ready")
            assert health.status_code == 200, health.text
    return sent


# --- what is wrong is named ---


def wrong(kafka: SecureKafka, what: str, folder: Path) -> dict[str, str]:
    """Settings with which no client connects."""
    password = {"username": USER, "password": PASSWORD}
    if what == "host name":
        return kafka.environment("login", bootstrap=f"localhost:{kafka.ports['login']}", **password)
    if what == "authority":
        other = Authority(folder, "Other authority").certificate
        return kafka.environment("login", ca=str(other), **password)
    if what in {"printed token", "failing command"}:
        line = {
            "printed token": command(folder, "please log in"),
            "failing command": "sh -c 'echo expired >&2; exit 3'",
        }
        return kafka.environment("token", sasl_mechanism="OAUTHBEARER", token_command=line[what])
    if what == "expired token":
        line_of = command(folder, token(USER, -60))
        return kafka.environment("token", sasl_mechanism="OAUTHBEARER", token_command=line_of)
    return {
        "password": kafka.environment("login", username=USER, password="wrong"),
        "no certificate": kafka.environment("certificate"),
        "login where there is none": kafka.environment(
            "certificate", certificate=str(kafka.client.chain), **password
        ),
        "mechanism": kafka.environment("clear", tls="", ca="", **password),
        "no TLS": kafka.environment("login", tls="", ca=""),
        "no login": kafka.environment("login"),
        "TLS where there is none": kafka.environment("clear"),
    }[what]


WRONG = {
    "password": "refuses: Authentication failed .*invalid credentials with SASL mechanism SCRAM-SHA-512",
    "host name": "certificate of localhost:.* is not accepted: Hostname mismatch, .* 'localhost'",
    "authority": "certificate of .* is not accepted: .*unable to get local issuer certificate",
    "no certificate": "TLS with .* fails: .*certificate.*: does it want a client certificate",
    "login where there is none": "has no login of this kind",
    "mechanism": "has no login of this kind",
    "no TLS": "closed the connection: do both sides use TLS",
    "no login": "closed the connection: do both sides use TLS, and the same way to log in",
    "TLS where there is none": "closed the connection: do both sides use TLS",
    "printed token": "the token command printed no token",
    "failing command": "the token command ended with status 3: expired",
    "expired token": "refuses: .*invalid_token",
}


@pytest.mark.parametrize("what", WRONG)
async def test_why_no_client_connects_is_named(
    kafka: SecureKafka, environment: dict[str, str], tmp_path: Path, what: str
) -> None:
    settings = settings_of(wrong(kafka, what, tmp_path), environment)
    consumer = build(ConsumerContainer, settings)

    assert not await consumer.broker_answers()()
    with pytest.raises(Unavailable, match=f"^Kafka is out of reach: .*{WRONG[what]}"):
        await consumer.ensure_topics()(settings.kafka_bootstrap, consumer.topics())
    with pytest.raises(Unavailable, match=WRONG[what]):
        await build(InspectionContainer, settings).kafka().look()


@pytest.mark.parametrize("what", ["password", "authority"])
async def test_processes_that_cannot_connect_say_why_once_and_stop_when_told(
    kafka: SecureKafka, environment: dict[str, str], tmp_path: Path, what: str
) -> None:
    chosen = environment | wrong(kafka, what, tmp_path)
    product = Product(tmp_path, chosen, settings_of(chosen, {}))
    try:
        services = [await product.consumer(until="live"), (await product.api(until="live")).process]
        for service in services:
            await eventually(partial(says, service, WRONG[what]), f"{service.name} says why")
        for service in services:
            await asyncio.to_thread(service.stop, END_SECONDS)
            assert service.exit_code == 0
            logged = service.log.read_text()
            assert len(re.findall(f"Kafka is out of reach: .*{WRONG[what]}", logged)) == 1
            assert logged.count("Unable connect to") == 1  # aiokafka's
            assert "Traceback" not in logged
    finally:
        await product.stop()


async def says(service: Service, reason: str, check: str = "kafka") -> bool:
    """Whether its readiness names this reason."""
    async with local_client(timeout=10) as client:
        answer = await client.get(f"{service.url}/health/ready")
    return answer.status_code == 503 and bool(re.search(reason, answer.json()["checks"][check]))


# --- ACLs ---


async def test_topics_that_may_not_be_created_are_named_with_who_and_what(
    kafka: SecureKafka, topics: Topics, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = settings_of(login(kafka, "SCRAM-SHA-512", tmp_path), environment)

    with pytest.raises(Unavailable) as refused:
        await build(WithTopics, settings).ensure_topics()(settings.kafka_bootstrap, topics)

    assert str(refused.value) == (
        f"There is no topic {topics.name} and no topic {topics.dead_letters} that User:{USER} may see "
        "(DESCRIBE), and it may not create one (CREATE): create the topics, or add ACLs"
    )


async def test_an_account_that_may_create_topics_creates_them(
    kafka: SecureKafka, topics: Topics, environment: dict[str, str], tmp_path: Path
) -> None:
    kafka.allow(f"User:{USER}", topics.name, "", "CREATE", "DESCRIBE")
    settings = settings_of(login(kafka, "SCRAM-SHA-512", tmp_path), environment)

    for _ in range(2):
        await build(WithTopics, settings).ensure_topics()(settings.kafka_bootstrap, topics)
    assert await topics_of(kafka) >= {topics.name, topics.dead_letters}


async def test_what_a_consumer_may_not_do_is_named(
    kafka: SecureKafka, made: Topics, environment: dict[str, str], tmp_path: Path
) -> None:
    kafka.allow(f"User:{USER}", made.name, "", "READ", "WRITE")
    settings = settings_of(login(kafka, "SCRAM-SHA-512", tmp_path), environment)
    denied = f"does not allow User:{USER} READ on the consumer group {made.name}: add an ACL"

    with pytest.raises(Unavailable, match=denied):
        await build(ConsumerContainer, settings).queue_reader().start(nothing)
    with pytest.raises(Unavailable, match=denied.replace("READ", "DESCRIBE")):
        await build(InspectionContainer, settings).kafka().look()


async def test_a_topic_that_may_not_be_read_is_named_in_readiness_until_it_may(
    kafka: SecureKafka, made: Topics, environment: dict[str, str], tmp_path: Path
) -> None:
    kafka.allow(f"User:{USER}", made.name, made.name, "DESCRIBE", "WRITE")
    chosen = environment | login(kafka, "SCRAM-SHA-512", tmp_path)
    async with running(chosen, tmp_path) as product:
        consumer = await product.consumer(until="live")
        await eventually(
            partial(says, consumer, f"User:{USER} READ on the topic {made.name}", "partitions"), "it says why"
        )
        kafka.allow(f"User:{USER}", made.name, "", "READ")
        await consumer.healthy()


async def test_a_topic_that_may_not_be_written_is_named_in_the_log_once(
    kafka: SecureKafka,
    made: Topics,
    environment: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kafka.allow(f"User:{USER}", made.name, "", "DESCRIBE")
    settings = settings_of(login(kafka, "SCRAM-SHA-512", tmp_path), environment)
    queue = build_whole(settings).kafka_queue()
    async with background(queue.run()):
        await eventually(lambda: queue._producer is not None, "it is connected")
        for number in range(3):
            with pytest.raises(Unconfirmed):
                await queue.put(a_draft(number))
        said = f"Kafka does not allow User:{USER} WRITE on the topic {made.name}: add an ACL"
        assert caplog.text.count(said) == 1
        kafka.allow(f"User:{USER}", made.name, "", "WRITE")

        async def accepted() -> bool:
            (outcome,) = await queue.put_all([a_draft(9)])
            return outcome is None

        await eventually(accepted, "it is accepted")
        await queue.stop()


async def nothing() -> None:
    """What is done before partitions are revoked."""


async def topics_of(kafka: SecureKafka) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.server.bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()
