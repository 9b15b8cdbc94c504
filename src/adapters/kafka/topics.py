"""The topics, and how they are created."""

from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from adapters.kafka.login import ANONYMOUS, Login
from application.errors import Unavailable

# The headers that say why a record failed must not make it too large for the dead-letter topic.
DEAD_LETTER_BYTES = 2 * 1024 * 1024
# The maximum age of a client's metadata. New partitions, and a topic that was deleted and created again, show
# only there; by default clients refresh it every five minutes.
METADATA_SECONDS = 10
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
    """Create the topics unless they exist. Raises Unavailable."""
    admin = AIOKafkaAdminClient(**login, bootstrap_servers=bootstrap, request_timeout_ms=10_000)
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
    # A cluster that is starting names no controller: aiokafka then fails on None.
    except (KafkaError, AttributeError) as error:
        raise Unavailable(f"Kafka could not create the topics: {error!r}") from error
    finally:
        await admin.close()
