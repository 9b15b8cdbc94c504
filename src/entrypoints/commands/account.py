"""The account that runs a command."""

import os
import pwd

from application.audit import ActorKind, By


def by_account() -> By:
    """The account that runs the command, for the audit trail."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in many containers
        name = str(os.getuid())
    return By(ActorKind.CLI, name)
