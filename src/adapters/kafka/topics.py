"""The topics, how they are created, and how long they keep records."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from adapters.kafka.failures import FAILURES
from adapters.kafka.login import ANONYMOUS, Login
from adapters.kafka.obstacles import DENIALS, principal, why
from application.errors import Unavailable

logger = logging.getLogger(__name__)

# The headers that say why a record failed must not make it too large for the dead-letter topic.
DEAD_LETTER_BYTES = 2 * 1024 * 1024
# The maximum age of a client's metadata. New partitions, and a topic that was deleted and created again, show
# only there; by default clients refresh it every five minutes.
METADATA_SECONDS = 10
_FOREVER_MS = 100 * 365 * 24 * 60 * 60 * 1000
_RETENTION_MS = 30 * 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topics:
    """The names and settings of the two topics."""

    name: str
    partitions: int
    replication: int

    @property
    def dead_letters(self) -> str:
        """The name of the dead-letter topic."""
        return f"{self.name}.dlq"


async def ensure_topics(bootstrap: str, topics: Topics, login: Login = ANONYMOUS) -> None:
    """Create the topics unless they exist. Raises Unavailable.

    An account that may not create topics needs not: those that it can see are left alone.
    """
    admin = AIOKafkaAdminClient(**login, bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        cluster = await admin._client.fetch_all_metadata()  # noqa: SLF001 - asking for one may create it
        missing = [new for new in _new(topics) if not cluster.partitions_for_topic(new.name)]
        if missing:
            _check_created(admin, await admin.create_topics(missing))
    # A cluster that is starting names no controller: aiokafka then fails on None.
    except (*FAILURES, AttributeError) as error:
        raise Unavailable(await _why(admin, error)) from error
    finally:
        await admin.close()


def _new(topics: Topics) -> Sequence[NewTopic]:
    kept = {"max.message.bytes": str(DEAD_LETTER_BYTES), "retention.ms": str(_RETENTION_MS)}
    return [
        NewTopic(topics.name, topics.partitions, topics.replication),
        NewTopic(topics.dead_letters, topics.partitions, topics.replication, topic_configs=kept),
    ]


def _check_created(admin: AIOKafkaAdminClient, response: Any) -> None:
    """Raise Unavailable for topics that may not be created, and the error of any other."""
    errors = {name: for_code(code) for name, code, *_ in response.topic_errors if code}
    denied = sorted(name for name, error in errors.items() if issubclass(error, DENIALS))
    if denied:
        who = principal(admin._client)  # noqa: SLF001 - there is no other way
        raise Unavailable(
            f"There is no topic {' and no topic '.join(denied)} that {who} may see (DESCRIBE), and it may "
            "not create one (CREATE): create the topics, or add ACLs"
        )
    for error in errors.values():
        if error is not TopicAlreadyExistsError:
            raise error


async def _why(admin: AIOKafkaAdminClient, error: BaseException) -> str:
    return await why(admin._client, error)  # noqa: SLF001 - there is no other way


async def longest_retention(bootstrap: str, topics: Topics, login: Login = ANONYMOUS) -> timedelta | None:
    """How long the topics keep a record at most; None if the brokers do not say, or keep records forever.

    Raises Unavailable if no broker is in reach.
    """
    admin = AIOKafkaAdminClient(**login, bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        return await _longest_retention(admin, topics)
    except (*FAILURES, AttributeError) as error:
        reason = await _why(admin, error)
        raise Unavailable(f"Kafka did not say how long it keeps records: {reason}") from error
    finally:
        await admin.close()


async def _longest_retention(admin: AIOKafkaAdminClient, topics: Topics) -> timedelta | None:
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in (topics.name, topics.dead_letters)]
    try:
        answers = await admin.describe_configs(asked)
    except KafkaError as error:  # it is in reach: it does not know this request
        logger.warning("Kafka did not say how long it keeps records: %r", error)
        return None
    return longest_of([dict(_settings(entries)) for answer in answers for *_, entries in answer.resources])


def longest_of(configs: Sequence[Mapping[str, str | None]]) -> timedelta | None:
    """The longest time for which topics with these settings keep a record; None if one does not say.

    A record is deleted with its segment, when the newest record in it is older than `retention.ms`; and a
    segment takes records for up to `segment.ms`.
    """
    try:
        times = [(int(config["retention.ms"] or ""), int(config["segment.ms"] or "")) for config in configs]
    except (KeyError, ValueError):
        return None
    if not times or any(retention < 0 or retention + segment > _FOREVER_MS for retention, segment in times):
        return None
    return max(timedelta(milliseconds=retention + segment) for retention, segment in times)


def _settings(entries: Iterable[Sequence[Any]]) -> Iterator[tuple[str, str | None]]:
    """The names and values of settings: the first two fields of an entry, in every version of the answer."""
    for name, value, *_ in entries:
        yield name, value
