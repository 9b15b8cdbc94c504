"""The users of the demo."""

from domain.identifiers import UserId

DEMO_USER, OTHER_USER = UserId("demo"), UserId("grace")
DEMO_USERS = {DEMO_USER: "Demo", OTHER_USER: "Grace"}
"""Their ids, and their names."""
