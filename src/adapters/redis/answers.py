"""What an error of Redis means for the connection it came on, and how it is told to people."""

import re
from collections.abc import Mapping
from typing import Final

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as Silence

ENDS: Final[Mapping[str, bool]] = {
    # True: this server, or this session, will not do any better, and another connection may lead to one that
    # does. Nothing was done for whoever asked.
    "READONLY": True,  # a primary that was demoted; it goes on to answer for as long as one stays
    "UNBLOCKED": True,  # the same, said to whoever was waiting
    "MASTERDOWN": True,  # a replica that lost its primary
    "LOADING": True,  # it starts, or copies its new primary: it will have forgotten, or be a replica
    "NOREPLICAS": True,  # a primary whose replicas have left it: after a partition they follow another one
    "CLUSTERDOWN": True,  # a node without its majority
    # False, as it is said to a new connection, which ends with it: those from before go on.
    "NOAUTH": False,  # a password is needed and none was given
    "WRONGPASS": False,  # the password was changed; sessions that are logged in stay so
    "DENIED": False,  # protected mode was switched on
    "max number of clients reached": False,  # to give up others would only help other clients
    # False: every connection would be told the same.
    "NOPERM": False,  # rights belong to the account; a change of them holds for sessions that are open
    "OOM": False,  # full: it still reads, deletes and publishes
    "MISCONF": False,  # its disk fails: it still reads and publishes, and stays the primary
    "BUSY": False,  # a script runs too long, for everybody
    "TRYAGAIN": False,  # a cluster moves keys
    "MOVED": False,  # Redis Cluster, which is not supported: connecting again does not help
    "ASK": False,  # the same
    "CROSSSLOT": False,  # the same
    "NOSCRIPT": False,  # it forgot a script, which is loaded again
    "EXECABORT": False,  # a transaction whose cause is told by another error
    "WRONGTYPE": False,  # a defect here, or somebody else's key
    "ERR": False,  # a defect here, or a server too old
}
"""Whether an error answer ends the connection it came on, by its code. What is not here does not."""

_CODE = re.compile(r"([A-Z]{2,})(?: |$)")
# Before version 7 a script says "ERR Error running script …: -READONLY You can't …"; since then the code is
# in front. ACL errors have none in either.
_IN_SCRIPT = re.compile(r"(?:^|[ :])-([A-Z]{2,}) ")
_OF_PIPELINE = " of pipeline caused error: "
# Redis repeats the words of a command that it does not know: they may be a ticket.
_WORDS = re.compile(r",? with args beginning with.*", re.DOTALL)
_LONGEST = 200


def code(error: Exception) -> str | None:
    """The code of an error answer, also if a script or a pipeline met it; None if it is no answer."""
    text = _said(error)
    status: str | None = getattr(error, "status_code", None)
    if text in ENDS:
        return text
    if nested := _IN_SCRIPT.search(text):
        return nested[1]
    if status is None and isinstance(error, ResponseError) and (first := _CODE.match(text)):
        return first[1]
    return status


def ends(error: Exception) -> bool:
    """Whether the connection it came on is no longer worth keeping, nor any other that was made before."""
    return ENDS.get(code(error) or "", False)


def is_loss(error: Exception) -> bool:
    """Whether the connection was lost, or none came about: nobody answered."""
    lost = isinstance(error, (ConnectionLost, Silence, OSError, TimeoutError))
    return lost and code(error) is None


def refuses(error: Exception) -> bool:
    """Whether the server is the right one and there, and does not do what it was asked for."""
    return isinstance(error, ResponseError) and not ends(error)


def reason(error: Exception) -> str:
    """What to tell people. Holds nothing of the command: users' words and tickets are in it."""
    text, status = _WORDS.sub("", _said(error)), getattr(error, "status_code", None)
    if status is not None and status != "ERR":
        text = f"{status} {text}"
    return text[:_LONGEST] or type(error).__name__


def _said(error: Exception) -> str:
    """The text of the server: redis-py writes the command before it that failed in a pipeline."""
    text = str(error)
    _, marker, told = text.rpartition(_OF_PIPELINE)
    return told.strip("(),").strip("'\"") if marker else text
