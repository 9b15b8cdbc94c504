"""What aiokafka passes on from below while a broker goes away is not a defect of ours."""

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.kafka.queue import KafkaQueue
from application.errors import Unavailable
from tests.build import a_draft


async def write_to_a_closed_transport(*_: object, **__: object) -> Any:
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


def producer(_bootstrap: str, _client_id: str) -> Any:
    async def start() -> None:
        return

    cluster = SimpleNamespace(partitions_for_topic=lambda _topic: None)
    client = SimpleNamespace(fetch_all_metadata=write_to_a_closed_transport, cluster=cluster)
    return SimpleNamespace(start=start, client=client, partitions_for=write_to_a_closed_transport)


async def test_a_connection_that_is_reset_while_it_is_written_to_counts_as_out_of_reach() -> None:
    queue = KafkaQueue("nowhere", "notifications", monotonic, producer=producer)
    await queue._replace()

    with pytest.raises(Unavailable, match="out of reach"):
        await queue.ping()
    (outcome,) = await queue.put_all([a_draft()])
    assert outcome is not None
