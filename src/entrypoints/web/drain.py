"""The protocol between `bellwire drain` and the process that it drains."""

import msgspec

PATH = "/drain"


class Draining(msgspec.Struct):
    """The progress of a drain."""

    streams: int
    draining: bool
