"""The container that makes the demo's user, key and token."""

from entrypoints.container.accounts import AccountsContainer
from entrypoints.container.parts.signup import WithSignup
from entrypoints.container.parts.tokens import WithTokens


class DemoContainer(AccountsContainer, WithSignup, WithTokens):
    """For `bellwire demo-access`."""
