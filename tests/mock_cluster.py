"""Brokers of the Kafka protocol that fail as they are told: the mock cluster inside librdkafka.

They run in threads of this process and answer within milliseconds. What they do not have: a log that
outlives them, checks of sequence numbers, groups of more than one member.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from confluent_kafka import cimpl

_PRODUCER = 0
_NOBODY = -1


class Api(IntEnum):
    """Requests, by their numbers in the protocol."""

    PRODUCE = 0
    FETCH = 1
    OFFSET_COMMIT = 8
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    SYNC_GROUP = 14


class MockCluster:
    """Brokers numbered from 1."""

    def __init__(self, library: ctypes.CDLL, handle: int, brokers: int) -> None:
        self._library = library
        self._handle = ctypes.c_void_p(handle)
        self._brokers = range(1, brokers + 1)
        self._call("start_request_tracking")
        self._call("group_initial_rebalance_delay_ms", 0)

    @classmethod
    @contextmanager
    def running(cls, brokers: int = 3) -> Iterator["MockCluster"]:
        """Start the brokers; in the end they are gone."""
        # Its symbols are found through the extension that links it, whatever its own file is called.
        library = ctypes.CDLL(cimpl.__file__)
        for name in ("rd_kafka_new", "rd_kafka_mock_cluster_new", "rd_kafka_mock_get_requests"):
            getattr(library, name).restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        reason = ctypes.create_string_buffer(512)
        client = library.rd_kafka_new(_PRODUCER, None, reason, ctypes.c_size_t(len(reason)))
        if not client:
            raise RuntimeError(reason.value.decode())
        handle = library.rd_kafka_mock_cluster_new(ctypes.c_void_p(client), brokers)
        try:
            yield cls(library, handle, brokers)
        finally:
            library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(handle))
            library.rd_kafka_destroy(ctypes.c_void_p(client))

    @property
    def bootstrap(self) -> str:
        """Where clients find it."""
        addresses: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._handle)
        return addresses.decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Make a topic; brokers lead its partitions in turn."""
        self._checked("topic_create", name.encode(), partitions, 1)

    def lose_topic(self, name: str) -> None:
        """Answer as if there was no such topic."""
        self._call("topic_set_error", name.encode(), 3)

    def find_topic(self, name: str) -> None:
        """Have it again."""
        self._call("topic_set_error", name.encode(), 0)

    def lead(self, topic: str, partition: int, broker: int | None) -> None:
        """Have a broker lead a partition, or none."""
        self._checked("partition_set_leader", topic.encode(), partition, broker or _NOBODY)

    def down(self) -> None:
        """Close every connection and take no new one."""
        for broker in self._brokers:
            self._checked("broker_set_down", broker)

    def up(self) -> None:
        """Be there again."""
        for broker in self._brokers:
            self._checked("broker_set_up", broker)

    def answer_after(self, seconds: float) -> None:
        """Hold every answer back for so long."""
        for broker in self._brokers:
            self._checked("broker_set_rtt", broker, int(seconds * 1000))

    def fail(self, api: Api, errors: Sequence[int]) -> None:
        """Answer the next requests of a kind with these errors of the protocol, one each."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._call("push_request_errors_array", ctypes.c_int16(api), ctypes.c_size_t(len(errors)), codes)

    def forgive(self, api: Api) -> None:
        """Forget the errors that are left."""
        self._call("clear_request_errors", ctypes.c_int16(api))

    def requests(self, api: Api) -> int:
        """How many requests of a kind have come."""
        count = ctypes.c_size_t()
        found = self._call("get_requests", ctypes.byref(count))
        array = ctypes.cast(found, ctypes.POINTER(ctypes.c_void_p))
        kind = self._library.rd_kafka_mock_request_api_key
        kinds = [kind(ctypes.c_void_p(array[nth])) for nth in range(count.value)]
        self._library.rd_kafka_mock_request_destroy_array(ctypes.c_void_p(found), count)
        return kinds.count(api)

    def _checked(self, name: str, *arguments: Any) -> None:
        if error := self._call(name, *arguments):
            raise RuntimeError(f"{name}: error {error} of librdkafka")

    def _call(self, name: str, *arguments: Any) -> Any:
        return getattr(self._library, f"rd_kafka_mock_{name}")(self._handle, *arguments)
