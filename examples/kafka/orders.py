"""A service that notifies by writing to Kafka: it needs neither Bellwire's API nor a key of it.

    python examples/kafka/orders.py ada 1042 2026-11-29T10:00:00Z

Bellwire makes a notification's id of the event's source, id and time. So an event that is sent twice,
after a crash for instance, is one notification.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

TOPIC = os.environ.get("BELLWIRE_KAFKA_TOPIC", "bellwire.notifications")


@dataclass(frozen=True)
class OrderShipped:
    """An event that the service has stored, with everything that makes its notification."""

    customer: str
    order: str
    at: str
    """When it was shipped, RFC 3339."""


async def notify(producer: AIOKafkaProducer, event: OrderShipped) -> None:
    """Returns when the brokers have it. Raises KafkaError: then send the same event again."""
    notification = {
        "message": f"Order {event.order} is on its way.",
        "title": "Your order was shipped",
        "category": "orders",
        "action_url": f"/orders/{event.order}",
    }
    headers = {
        "ce_specversion": "1.0",
        "ce_type": "order.shipped",
        "ce_source": "/orders",
        "ce_id": f"shipped-{event.order}",
        "ce_time": event.at,
        "ce_subject": event.customer,
        "content-type": "application/json",
    }
    await producer.send_and_wait(
        TOPIC,
        key=event.customer.encode(),  # keeps a user's notifications in order
        value=json.dumps(notification).encode(),
        headers=[(name, value.encode()) for name, value in headers.items()],
    )


async def main(customer: str, order: str, at: str) -> None:
    servers = os.environ["BELLWIRE_KAFKA_BOOTSTRAP"]
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        await notify(producer, OrderShipped(customer, order, at))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
