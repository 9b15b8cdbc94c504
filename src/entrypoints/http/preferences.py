"""A user's preferences."""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from litestar import Request, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from application.credentials import ApiKey
from application.errors import NotAllowed
from application.preferences import ChoosePreferences, Preference, ShowPreferences
from domain.category import CATEGORIES
from domain.feed import Feed
from domain.identifiers import UserId
from entrypoints.web import guards, rules
from entrypoints.web.headers import NO_STORE
from entrypoints.web.rules import ruled
from entrypoints.web.schemas import problems
from entrypoints.web.verbatim import VerbatimRequest

_BODY_LIMIT = 16 * 1024


class PreferenceBody(Struct):
    """A category, and what the user chose about it."""

    id: str
    title: str | None
    description: str | None
    enabled: Annotated[bool, Meta(description="Whether the user is shown what comes from now on.")]
    mandatory: Annotated[bool, Meta(description="Whether it cannot be switched off.")]
    chosen: Annotated[bool | None, Meta(description="The user's choice; null: the default.")]


class PreferencesBody(Struct):
    """A user's preferences."""

    cursor: Annotated[str, Meta(description="The feed's position.")]
    preferences_version: Annotated[
        int, Meta(description="The version with which the user's preferences changed last; 0 if never.")
    ]
    categories: Annotated[list[PreferenceBody], Meta(description="Every category, by id.")]

    @classmethod
    def of(cls, feed: Feed, preferences: Sequence[Preference]) -> Self:
        """The body of these preferences."""
        return cls(str(feed.cursor), feed.preferences_version, [_body(item) for item in preferences])


class Choice(Struct, forbid_unknown_fields=True):
    """What a user chooses."""

    categories: Annotated[
        dict[str, bool | None],
        ruled(
            {"maxProperties": CATEGORIES, "propertyNames": rules.CATEGORY},
            "Categories to switch on or off; null goes back to the default, and others stay. "
            f"At most {CATEGORIES}.",
            {"billing": False, "comment": None},
        ),
    ]


_ABOUT: dict[str, Any] = {
    "path": "/v1/users/{user_id:str}/preferences",
    "security": guards.NEEDS_TOKEN_OR_KEY,
    "tags": ["inbox"],
    "cache_control": NO_STORE,
}


@get(
    guards=[guards.owner_or_manager],
    summary="Show preferences",
    responses=problems(401, 403, 404, 429, 503),
    **_ABOUT,
)
async def show_preferences(
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    show_preferences: NamedDependency[ShowPreferences],
) -> PreferencesBody:
    """Every category, and whether the user is shown its notifications. An API key needs the scope `users`."""
    _check_unlimited(request.auth)
    return PreferencesBody.of(*await show_preferences(UserId(user_id)))


@put(
    guards=[guards.owner_or_manager, guards.choosing],
    request_class=VerbatimRequest,
    request_max_body_size=_BODY_LIMIT,
    summary="Choose preferences",
    responses=problems(400, 401, 403, 404, 413, 422, 429, 503),
    **_ABOUT,
)
async def choose_preferences(
    request: Request[Any, Any, Any],
    user_id: FromPath[str],
    data: JSONBody[Choice],
    choose_preferences: NamedDependency[ChoosePreferences],
    show_preferences: NamedDependency[ShowPreferences],
) -> PreferencesBody:
    """It counts for notifications that are stored later: what is in the feed stays. A change is a version of
    the feed, and every stream of the user is told. A mandatory category cannot be switched off. Returns all
    preferences. An API key needs the scope `users`.
    """
    _check_unlimited(request.auth)
    await choose_preferences(UserId(user_id), data.categories)
    return PreferencesBody.of(*await show_preferences(UserId(user_id)))


def _check_unlimited(auth: object) -> None:
    if isinstance(auth, ApiKey) and auth.event_prefix is not None:
        raise NotAllowed("An API key that is limited to events cannot see or choose preferences.")


def _body(item: Preference) -> PreferenceBody:
    known = item.category
    return PreferenceBody(
        known.id, known.title, known.description, item.enabled, known.mandatory, item.chosen
    )


HANDLERS = [show_preferences, choose_preferences]
