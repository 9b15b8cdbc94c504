"""What the process that is drained and `bellwire drain` agree on."""

import msgspec

PATH = "/drain"


class Draining(msgspec.Struct):
    """How far a drain has come."""

    streams: int
    draining: bool
