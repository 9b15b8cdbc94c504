"""Produce requests for aiokafka's client, written and read as a whole.

aiokafka describes its own field by field. To go through that takes more processor time than all else that is
done for a record batch. Its client sends whatever has the methods of its requests, and returns what the type
of the answer makes of the bytes. It does not document that: `tests/unit/test_produce_request.py` compares
requests and answers with aiokafka's, and has one of its connections exchange them.
"""

from collections.abc import Mapping
from io import BytesIO
from struct import Struct
from typing import Final

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestHeader_v1, ResponseHeader_v0

_API_KEY: Final = 0
# Earlier versions do not take record batches of today's format, later ones look different.
_FIRST_VERSION, _LAST_VERSION = 3, 7
_NO_TRANSACTION: Final = -1
_ALL_REPLICAS: Final = -1

_HEAD = Struct(">hhii")  # transaction, replicas, milliseconds, number of topics
_NAME = Struct(">h")
_COUNT = Struct(">i")
_BATCH = Struct(">ii")  # partition, bytes
# Partition and error, followed by an offset, a timestamp and, since version 5, where the log starts.
_ERROR, _ERROR_SINCE_5 = Struct(">ih16x"), Struct(">ih24x")


class ProduceRequest:
    """Has the leader of partitions of one topic write a record batch to each, on all in-sync replicas.

    The answer is a Mapping: the number of the error by partition, 0 for none.
    """

    def __init__(self, topic: str, batches: Mapping[int, bytes | bytearray], timeout_ms: int) -> None:
        """`batches` are by partition. The broker waits for the replicas up to `timeout_ms`."""
        self.topic = topic
        self.batches = batches
        self.timeout_ms = timeout_ms

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> "_Prepared":
        """The request for a broker that accepts these versions, lowest and highest by kind of request.

        Raises IncompatibleBrokerVersion.
        """
        lowest, highest = versions.get(_API_KEY, (0, 0))
        version = min(highest, _LAST_VERSION)
        if version < max(lowest, _FIRST_VERSION):
            raise IncompatibleBrokerVersion(
                f"The broker takes produce requests of the versions {lowest} to {highest}"
            )
        return _Prepared(self, version)


class _Prepared:
    """A request of one version, as connections want it."""

    API_KEY: Final = _API_KEY
    parse_response_header = staticmethod(ResponseHeader_v0.decode)

    def __init__(self, request: ProduceRequest, version: int) -> None:
        self.API_VERSION = version
        self.RESPONSE_TYPE = _AnswerSince5 if version >= 5 else _Answer
        self._request = request

    def build_request_header(self, correlation_id: int, client_id: str) -> RequestHeader_v1:
        return RequestHeader_v1(self, correlation_id=correlation_id, client_id=client_id)

    def encode(self) -> bytes:
        request = self._request
        topic, batches = request.topic.encode(), request.batches
        parts: list[bytes | bytearray] = [
            _HEAD.pack(_NO_TRANSACTION, _ALL_REPLICAS, request.timeout_ms, 1),
            _NAME.pack(len(topic)),
            topic,
            _COUNT.pack(len(batches)),
        ]
        for partition, batch in batches.items():
            parts += (_BATCH.pack(partition, len(batch)), batch)
        return b"".join(parts)


class _Answer:
    """The answer to a request for one topic."""

    error = _ERROR

    @classmethod
    def decode(cls, data: BytesIO) -> Mapping[int, int]:
        data.seek(_COUNT.size, 1)  # the number of topics
        (length,) = _NAME.unpack(data.read(_NAME.size))
        data.seek(length, 1)
        (count,) = _COUNT.unpack(data.read(_COUNT.size))
        return dict(cls.error.iter_unpack(data.read(count * cls.error.size)))


class _AnswerSince5(_Answer):
    error = _ERROR_SINCE_5
