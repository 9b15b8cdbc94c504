"""Categories and preferences: what operators make of categories, and which ones users choose to be shown."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from application.audit import THE_SERVICE, Action, By, Entry, note
from application.ports import Announcer, Categories, Preferences
from domain.category import Category, check_choices, wanted
from domain.errors import TooManyCategories
from domain.feed import Chosen, Feed, Settled
from domain.identifiers import UserId


@dataclass(frozen=True, slots=True)
class Preference:
    """A category, and what a user chose about it."""

    category: Category
    chosen: bool | None

    @property
    def enabled(self) -> bool:
        """Whether the user is shown what comes from now on."""
        return wanted(self.category, self.chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCategories:
    """Every category, by id."""

    categories: Categories

    async def __call__(self) -> Sequence[Category]:
        return await self.categories.all()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCategory:
    """Replace what is known of a category, which need not have been seen. Raises TooManyCategories."""

    categories: Categories

    async def __call__(self, category: Category, actor: By = THE_SERVICE) -> None:
        entry = Entry(actor, Action.CATEGORY_SET, category.id, _described(category))
        if not await self.categories.set(category, entry):
            raise TooManyCategories
        note(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowPreferences:
    """The user's feed, and every category with what the user chose about it, by id. Also those that only the
    user has named. Raises UnknownUser.
    """

    preferences: Preferences
    categories: Categories

    async def __call__(self, user: UserId) -> tuple[Feed, Sequence[Preference]]:
        feed, chosen = await self.preferences.choices(user)
        known = {category.id: category for category in await self.categories.all()}
        known = {name: Category(id=name) for name in chosen} | known
        return feed, [Preference(known[name], chosen.get(name)) for name in sorted(known)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoosePreferences:
    """Choose for a user. Others stay; None goes back to the default. The change is announced when this
    returns, also if the caller is cancelled meanwhile.

    Raises UnknownUser, and Invalid, also for a mandatory category that would be switched off.
    """

    preferences: Preferences
    categories: Categories
    announcer: Announcer
    tasks: set[asyncio.Task[Chosen]] = field(default_factory=set)
    """Running tasks. The event loop holds only weak references to them."""

    async def __call__(self, user: UserId, choices: Mapping[str, bool | None]) -> Chosen:
        # One that becomes mandatory a moment later is shown all the same.
        mandatory = {category.id for category in await self.categories.all() if category.mandatory}
        check_choices(choices, mandatory)
        task = asyncio.create_task(self._choose(user, choices))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return await asyncio.shield(task)

    async def _choose(self, user: UserId, choices: Mapping[str, bool | None]) -> Chosen:
        chosen = await self.preferences.choose(user, choices)
        # Also if nothing changed: for streams that missed the first announcement.
        await self.announcer.announce([chosen if chosen.changed else Settled(chosen.feed)])
        return chosen


def _described(category: Category) -> dict[str, object]:
    """What the audit trail says of it."""
    return {
        "title": category.title,
        "description": category.description,
        "mandatory": category.mandatory,
        "default_on": category.default_on,
        "expires_after": category.expires_after and category.expires_after.total_seconds(),
    }
