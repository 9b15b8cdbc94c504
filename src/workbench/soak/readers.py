"""Users: they mark, answer, choose and fetch, each with an own token."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from workbench.soak import contents
from workbench.soak.doors import Doors
from workbench.soak.follower import Follower, version
from workbench.soak.history import Chosen, History, Marking
from workbench.soak.tally import Tally, contradictions

Json = dict[str, Any]

USES: Final = {
    "read": 60,
    "unread": 4,
    "archived": 8,
    "unarchived": 3,
    "seen": 10,
    "read up to": 4,
    "seen up to": 12,
    "read a category": 6,
    "archived a category": 1,
    "snoozed": 8,
    "woken": 3,
    "act": 12,
    "choose": 8,
    "fetch": 60,
    "fetch a category": 10,
    "trespass": 1,
}
"""How often users do what."""
_PATHS = {"archived": "archive", "unarchived": "unarchive", "snoozed": "snooze", "woken": "unsnooze"}
_NEWEST = 100
_MOST_IDS = 5
_OVER_SOCKET = 0.5
_FORBIDDEN_CHOICE = 0.1
_SNOOZE_SECONDS = (1.5, 8.0)
_BEYOND_THE_RUN = 0.1
_LONG_SECONDS = 86_400.0


class Readers:
    """What users do, and what is wrong with the answers."""

    def __init__(
        self,
        doors: Doors,
        users: Sequence[str],
        followers: Sequence[Follower],
        history: History,
        chance: random.Random,
    ) -> None:
        self._doors = doors
        self._users = users
        self._followers = followers
        self._history = history
        self._random = chance

    async def use(self, kind: str) -> None:
        """Do something as some user."""
        if not self._followers:
            return
        follower = self._random.choice(self._followers)
        match kind:
            case "fetch":
                await self._fetch(follower.user, ())
            case "fetch a category":
                await self._fetch(follower.user, self._random.sample(contents.CHOOSABLE, 2))
            case "choose":
                await self._choose(follower.user)
            case "trespass":
                await self._trespass(follower)
            case _ if follower.items and follower.cursor:
                await self._mark(follower, kind)

    # --- marks ---

    async def _mark(self, follower: Follower, kind: str) -> None:
        newest = list(follower.items)[-_NEWEST:]
        mark = kind.partition(" ")[0]
        if kind == "act":
            await self._act(follower, newest)
        elif kind != mark:
            await self._mark_up_to(follower, kind, mark)
        else:
            if mark == "woken":
                newest = [id_ for id_ in newest if follower.items[id_].get("snoozed_until")]
            if newest:
                await self._mark_ids(follower, mark, newest)

    async def _mark_ids(self, follower: Follower, mark: str, among: Sequence[str]) -> None:
        ids = self._random.sample(among, min(len(among), self._random.randint(1, _MOST_IDS)))
        fields: Json = {"ids": ids, "until": self._some_time()} if mark == "snoozed" else {"ids": ids}
        marking = Marking(
            follower.user, mark, tuple(ids), None, begun=self._history.now(), until=fields.get("until")
        )
        await self._send_mark(follower, marking, fields)

    def _some_time(self) -> str:
        """Until when something is snoozed: briefly, or for longer than the run."""
        seconds = self._random.uniform(*_SNOOZE_SECONDS)
        if self._random.random() < _BEYOND_THE_RUN:
            seconds += _LONG_SECONDS
        return contents.in_seconds(datetime.now(UTC), seconds)

    async def _mark_up_to(self, follower: Follower, kind: str, mark: str) -> None:
        fields: Json = {"up_to": follower.cursor}
        if kind.endswith("category"):
            fields["category"] = self._random.choice(contents.CHOOSABLE)
        at = version(fields["up_to"])
        marking = Marking(
            follower.user, mark, (), at, begun=self._history.now(), category=fields.get("category")
        )
        await self._send_mark(follower, marking, fields)

    async def _send_mark(self, follower: Follower, marking: Marking, fields: Json) -> None:
        word = _PATHS.get(marking.mark, marking.mark)
        path = f"/v1/users/{follower.user}/notifications/{word}"
        await self._send(follower, marking, {"type": word, **fields}, path, fields)

    async def _act(self, follower: Follower, newest: Sequence[str]) -> None:
        able = [id_ for id_ in newest if follower.items[id_].get("actions")]
        if not able:
            return
        id_, action = self._random.choice(able), self._random.choice(contents.ACTIONS)
        marking = Marking(follower.user, "acted", (id_,), None, begun=self._history.now(), action=action)
        path = f"/v1/users/{follower.user}/notifications/{id_}/actions/{action}"
        await self._send(follower, marking, {"type": "act", "id": id_, "action": action}, path, None)

    async def _send(
        self, follower: Follower, marking: Marking, command: Json, path: str, body: Json | None
    ) -> None:
        """Send a mark over the socket or over HTTP, and note whether it was acknowledged."""
        self._history.markings.append(marking)
        if self._random.random() < _OVER_SOCKET:
            marking.acknowledged = await self._over_socket(follower, command)
        else:
            options = {} if body is None else {"json": body}
            status, answer = await self._doors.as_user(follower.user, "POST", path, **options)
            marking.acknowledged = status == 200
            if status == 200 and "unread_in" in answer:
                self._compare(follower.user, answer)
        marking.ended = self._history.now()
        self._history.note(
            "mark", user=follower.user, mark=marking.mark, ok=marking.acknowledged, command=command
        )

    async def _over_socket(self, follower: Follower, command: Json) -> bool:
        try:
            answer = await follower.ask(**command)
        except (ConnectionClosed, OSError, TimeoutError):
            return False
        return bool(answer["type"] == "ok")

    # --- preferences ---

    async def _choose(self, user: str) -> None:
        """Switch a category on or off, or go back to the default; and what nobody may."""
        if forbidden := self._random.random() < _FORBIDDEN_CHOICE:
            choices: dict[str, bool | None] = {contents.MANDATORY: False}
        else:
            choices = {self._random.choice(contents.CHOOSABLE): self._random.choice((False, True, None))}
        self._history.switched_off |= {(user, name) for name, chosen in choices.items() if chosen is False}
        path = f"/v1/users/{user}/preferences"
        status, answer = await self._doors.as_user(user, "PUT", path, json={"categories": choices})
        self._history.note("choose", user=user, choices=choices, status=status)
        if status != 200:
            return
        if forbidden:
            self._history.bad_choices.append(f"{user} switched off {contents.MANDATORY}")
        chosen = {item["id"]: item["chosen"] for item in answer["categories"]}
        since, until = answer["preferences_version"], version(answer["cursor"])
        self._history.chosen.append(Chosen(user, since, until, chosen))

    # --- pages ---

    async def _fetch(self, user: str, categories: Sequence[str]) -> None:
        limit = self._random.choice((20, 100))
        parameters = {"limit": limit, **({"category": list(categories)} if categories else {})}
        status, page = await self._doors.as_user(user, "GET", f"/notifications/{user}", params=parameters)
        if status != 200:
            return
        self._history.pages += 1
        strangers = [item["id"] for item in page["items"] if item["user_id"] != user]
        if strangers:
            self._history.trespasses.append(f"a page of {user} has {strangers}")
        self._compare(user, page)
        wrong = wrong_with(page, limit, categories) or self._collapsed_badly(page)
        if wrong:
            self._history.bad_pages.append(f"{user} at {page['cursor']}: {wrong}")
            self._history.note("bad page", user=user, categories=categories, page=page)

    def _compare(self, user: str, told: Json) -> None:
        """Compare the counts of a page or an answer with what followers at its position have."""
        wrong = [
            contradictions(told),
            *(one.disagreement(told) for one in self._followers if one.user == user),
        ]
        self._history.bad_counts += [f"{user} at {told['cursor']}: {words}" for words in wrong if words]

    def _collapsed_badly(self, page: Json) -> str:
        """Which key has several unread notifications, of which none was made unread again."""
        reopened: set[str] | None = None
        keys = Counter(item.get("collapse_key") for item in page["items"])
        for key in [key for key, times in keys.items() if key is not None and times > 1]:
            reopened = self._history.reopened if reopened is None else reopened
            ids = [item["id"] for item in page["items"] if item.get("collapse_key") == key]
            if len([id_ for id_ in ids if id_ not in reopened]) > 1:
                return f"{key} is in {ids}"
        return ""

    # --- what belongs to others ---

    async def _trespass(self, follower: Follower) -> None:
        """Ask for another user's things with one's own token."""
        other = self._random.choice([user for user in self._users if user != follower.user])
        theirs = next((item for one in self._followers if one.user == other for item in one.items), None)
        requests: list[tuple[str, str, Json]] = [
            ("GET", f"/notifications/{other}", {}),
            ("GET", f"/v1/users/{other}/unread-count", {}),
            ("GET", f"/v1/users/{other}/preferences", {}),
            ("PUT", f"/v1/users/{other}/preferences", {"json": {"categories": {"comment": False}}}),
        ]
        if theirs:
            requests.append(("PATCH", f"/notifications/{follower.user}/{theirs}/read", {}))
        for method, path, options in requests:
            status, _ = await self._doors.as_user(follower.user, method, path, **options)
            self._history.attempted_trespasses += 1
            if 200 <= status < 300:
                self._history.trespasses.append(f"{follower.user} was answered {status} to {method} {path}")


def wrong_with(page: Mapping[str, Any], limit: int, categories: Sequence[str] = ()) -> str:
    """How a page of unread notifications contradicts itself; empty if it does not."""
    ids = [item["id"] for item in page["items"]]
    unread_in = page["unread_in"]
    expected = sum(unread_in.get(one, 0) for one in categories) if categories else page["unread_count"]
    if len(ids) != min(expected, limit) or ids != sorted(set(ids), reverse=True):
        return f"{len(ids)} items, {expected} unread, limit {limit}"
    if wrong := contradictions(page):
        return wrong
    tally = Tally()
    for item in page["items"]:
        tally.add(item, 1)
    if categories:
        asked = {one: count for one, count in unread_in.items() if one in categories}
        more = [one for one, count in tally.unread_in.items() if count > asked.get(one, 0)]
        return f"{dict(tally.unread_in)} of {asked}" if more else ""
    if page["next_cursor"] is None:
        return tally.difference(page)
    return ""
