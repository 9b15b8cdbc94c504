"""The parts of processes that use Kafka."""

import ssl
from collections.abc import Awaitable, Callable
from functools import partial

from dependency_injector import providers

from adapters.kafka.certificates import RenewedContext
from adapters.kafka.login import Login, login
from adapters.kafka.topics import Topics, ensure_topics
from application import ports
from entrypoints.container.parts.base import Base
from entrypoints.kafka_settings import Mistake
from entrypoints.settings import Settings


def _login(settings: Settings, clock: ports.Clock) -> Login:
    mechanism = settings.kafka_mechanism
    tokens = None
    if mechanism in {"OAUTHBEARER", "AWS_MSK_IAM"}:
        from adapters.kafka import tokens as sources  # noqa: PLC0415 - most log in otherwise

        fetch: sources.Fetch
        if mechanism == "AWS_MSK_IAM":
            fetch = partial(sources.from_aws, settings.kafka_aws_region)
        elif settings.kafka_token_command:
            fetch = partial(sources.from_command, settings.kafka_token_command, clock)
        else:
            fetch = partial(
                sources.from_url,
                settings.kafka_token_url,
                settings.kafka_username,
                settings.kafka_password,
                settings.kafka_token_scope,
                clock,
            )
        tokens = sources.Tokens(fetch, clock, settings.kafka_extensions)
    credentials = settings.kafka_username, settings.kafka_password
    return login(_encryption(settings), mechanism, *credentials, tokens)


def _encryption(settings: Settings) -> ssl.SSLContext | None:
    made = settings.kafka_encryption()
    if made is None or not settings.kafka_files:
        return made

    def made_again() -> ssl.SSLContext:
        try:
            return settings.kafka_encryption() or made
        except Mistake as mistake:
            raise OSError(f"{mistake.name} {mistake}") from mistake

    return RenewedContext(made_again, settings.kafka_files)


class WithKafka(Base):
    """How its clients connect and log in."""

    kafka_login: providers.Provider[Login] = providers.Singleton(_login, Base.settings, Base.clock)


class WithTopics(WithKafka):
    """The topics, and the adapter that creates them."""

    topics: providers.Provider[Topics] = providers.Singleton(
        Topics, Base.setting.kafka_topic, Base.setting.kafka_partitions, Base.setting.kafka_replication
    )
    ensure_topics: providers.Provider[Callable[..., Awaitable[None]]] = providers.Callable(
        partial, ensure_topics, login=WithKafka.kafka_login
    )
