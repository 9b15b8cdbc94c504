"""Several notifications that became one."""

from domain.group import ACTORS_COUNTED, ACTORS_SHOWN, ALONE, Group
from domain.rich import Actor


def actor(name: str, identity: str | None = None) -> Actor:
    return Actor(name=name, id=identity)


def names(group: Group) -> list[str]:
    return [one.name for one in group.actors]


def of(*people: str) -> Group:
    """A group that these joined, one after the other."""
    group = Group.of(actor(people[0]))
    for name in people[1:]:
        group = group.joined(actor(name), newest=True)
    return group


def test_a_notification_is_a_group_of_one() -> None:
    assert Group.of(None) is ALONE
    assert (ALONE.count, ALONE.actor_count, ALONE.actors) == (1, 0, ())
    assert (of("Ada").count, of("Ada").actor_count, names(of("Ada"))) == (1, 1, ["Ada"])


def test_the_newest_actors_are_shown() -> None:
    group = of("Ada", "Bob", "Cyd", "Dee", "Eve")

    assert ACTORS_SHOWN == 3
    assert (names(group), group.count, group.actor_count) == (["Eve", "Dee", "Cyd"], 5, 5)


def test_who_comes_again_comes_to_the_front_and_is_counted_once() -> None:
    group = of("Ada", "Bob", "Cyd", "Dee", "Ada")

    assert (names(group), group.count, group.actor_count) == (["Ada", "Dee", "Cyd"], 5, 4)


def test_a_late_actor_is_shown_last_where_there_is_room() -> None:
    two, three = of("Ada", "Bob"), of("Ada", "Bob", "Cyd")

    assert names(two.joined(actor("Dee"), newest=False)) == ["Bob", "Ada", "Dee"]
    late = three.joined(actor("Dee"), newest=False)
    assert (names(late), late.count, late.actor_count) == (["Cyd", "Bob", "Ada"], 4, 4)


def test_a_late_actor_who_is_shown_stays_in_place() -> None:
    group = of("Ada", "Bob").joined(actor("Ada"), newest=False)

    assert (names(group), group.count, group.actor_count) == (["Bob", "Ada"], 3, 2)


def test_one_without_an_actor_counts() -> None:
    group = of("Ada").joined(None, newest=True)

    assert (names(group), group.count, group.actor_count) == (["Ada"], 2, 1)


def test_actors_are_told_apart_by_id_or_else_by_name() -> None:
    group = Group.of(actor("Ada", "1"))
    for one in (actor("Ada", "2"), actor("Ada"), actor("Ada Lovelace", "1")):
        group = group.joined(one, newest=True)

    assert (names(group), group.actor_count) == (["Ada Lovelace", "Ada", "Ada"], 3)


def test_an_id_is_no_name() -> None:
    assert Group.of(actor("Ada", "x")).joined(actor("x"), newest=True).actor_count == 2


def test_a_hundred_actors_are_counted_exactly_and_more_are_more() -> None:
    hundred = of(*(f"user {n}" for n in range(ACTORS_COUNTED)))
    many = of(*(f"user {n}" for n in range(250)))

    assert (hundred.actor_count, hundred.more_actors) == (100, False)
    assert (many.count, many.actor_count, many.more_actors) == (250, 100, True)
    assert len(many.members) == ACTORS_COUNTED + 1
    again = hundred.joined(actor("user 7"), newest=True)
    assert (again.actor_count, again.more_actors) == (100, False)
