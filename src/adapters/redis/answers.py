"""What an error from Redis means for the connection it came on, and how to report it to people."""

import re
from collections.abc import Mapping
from typing import Final

from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import MovedError, ResponseError
from redis.exceptions import TimeoutError as Silence

ENDS: Final[Mapping[str, bool]] = {
    # True: this server, or this session, will not recover, and another connection may lead to a server that
    # works. The command was not executed.
    "READONLY": True,  # a demoted primary, which keeps answering on open connections
    "UNBLOCKED": True,  # the same, sent to clients that were waiting
    "MASTERDOWN": True,  # a replica that lost its primary
    "LOADING": True,  # it starts and has lost its data, or copies its new primary
    "NOREPLICAS": True,  # a primary without replicas: after a network partition they follow another one
    "CLUSTERDOWN": True,  # a node without its majority
    # False: sent to a new connection, which it ends; older connections keep working.
    "NOAUTH": False,  # a password is needed and none was given
    "WRONGPASS": False,  # the password was changed; sessions that are logged in stay logged in
    "DENIED": False,  # protected mode was switched on
    "max number of clients reached": False,  # dropping our connections would only help other clients
    # False: every connection would get the same answer.
    "NOPERM": False,  # rights belong to the account; changes apply to open sessions too
    "OOM": False,  # full: it still reads, deletes and publishes
    "MISCONF": False,  # its disk fails: it still reads and publishes, and stays the primary
    "BUSY": False,  # a script runs too long; it blocks all commands
    "MOVED": False,  # a node of a cluster: another one has this; see redirects
    "ASK": False,  # the same, while a cluster moves keys
    "TRYAGAIN": False,  # the same
    "CROSSSLOT": False,  # a cluster, or a defect here
    "NOSCRIPT": False,  # it lost a script, which is loaded again
    "EXECABORT": False,  # a transaction; another error tells the cause
    "WRONGTYPE": False,  # somebody else wrote this key; see is_about_one_key
    "ERR": False,  # a defect here, or a server too old
}
"""Whether an error answer ends its connection, by code. Codes that are not listed do not."""

_CODE = re.compile(r"([A-Z]{2,})(?: |$)")
# Before version 7, errors in scripts read "ERR Error running script …: -READONLY You can't …"; since then the
# code comes first. ACL errors have no code in either.
_IN_SCRIPT = re.compile(r"(?:^|[ :])-([A-Z]{2,}) ")
_OF_PIPELINE = " of pipeline caused error: "
# Redis repeats the arguments of a command that it does not know, which may be a ticket.
_WORDS = re.compile(r",? with args beginning with.*", re.DOTALL)
_LONGEST = 200


def code(error: Exception) -> str | None:
    """The code of an error answer, also from a script or a pipeline; None if the error is not an answer."""
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
    """Whether its connection, and all that were made before, are no longer worth keeping."""
    return ENDS.get(code(error) or "", False)


def is_loss(error: Exception) -> bool:
    """Whether the connection was lost or could not be made: nobody answered."""
    lost = isinstance(error, (ConnectionLost, Silence, OSError, TimeoutError))
    return lost and code(error) is None


def refuses(error: Exception) -> bool:
    """Whether the server is reachable and the right one, but refuses the command."""
    return isinstance(error, ResponseError) and not ends(error) and not is_about_one_key(error)


def is_about_one_key(error: Exception) -> bool:
    """Whether it only says that a key has another type than it should. Nothing is wrong with the server."""
    return code(error) == "WRONGTYPE"


def redirects(error: Exception) -> bool:
    """Whether a node of a cluster does not execute the command because another one has the keys, or some of
    them.
    """
    return code(error) in {"MOVED", "ASK", "TRYAGAIN"}


def has_moved(answer: object) -> bool:
    """Whether it is the error that says which node has the keys."""
    return isinstance(answer, MovedError)


def reason(error: Exception) -> str:
    """The text to show people, without the command: that holds users' text and tickets."""
    text, status = _WORDS.sub("", _said(error)), getattr(error, "status_code", None)
    if status is not None and status != "ERR":
        text = f"{status} {text}"
    return text[:_LONGEST] or type(error).__name__


def _said(error: Exception) -> str:
    """The server's text, without the command that redis-py puts before an error in a pipeline."""
    text = str(error)
    _, marker, answer = text.rpartition(_OF_PIPELINE)
    return answer.strip("(),").strip("'\"") if marker else text
