"""The limits on what is queued for one client."""

from application.streams import Lagging

_FRAMES = 256
_BYTES = 1024 * 1024


def check_room(frames: int, size: int, more: int) -> None:
    """Raise Lagging if too much is queued already. One frame may always be queued, of any size."""
    if frames and (frames >= _FRAMES or size + more > _BYTES):
        raise Lagging
