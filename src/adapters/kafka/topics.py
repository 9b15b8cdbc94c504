"""Making the topics."""

from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from application.errors import Unavailable

# The headers that say why a record failed must not make it too large for the dead-letter topic.
DEAD_LETTER_BYTES = 2 * 1024 * 1024
# How old may be what a client knows of topics: new partitions, and a topic that was deleted and made again,
# show only there. By default clients look every five minutes.
METADATA_SECONDS = 10
_RETENTION_MS = 30 * 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topics:
    """Names and shape of the two topics."""

    name: str
    partitions: int
    replication: int

    @property
    def dead_letters(self) -> str:
        """Where records go that cannot be stored."""
        return f"{self.name}.dlq"


async def ensure_topics(bootstrap: str, topics: Topics) -> None:
    """Create the topics unless they exist. Raises Unavailable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        response = await admin.create_topics(
            [
                NewTopic(topics.name, topics.partitions, topics.replication),
                NewTopic(
                    topics.dead_letters,
                    topics.partitions,
                    topics.replication,
                    topic_configs={
                        "max.message.bytes": str(DEAD_LETTER_BYTES),
                        "retention.ms": str(_RETENTION_MS),
                    },
                ),
            ]
        )
        for _, code, *_ in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error
    # A cluster that is on its way up names no controller: aiokafka then fails on None.
    except (KafkaError, AttributeError) as error:
        raise Unavailable(f"Kafka could not make the topics: {error!r}") from error
    finally:
        await admin.close()
