"""Keys and slots of a cluster, its map, and its address."""

import pytest

from adapters.redis.names import (
    account_keys,
    channel,
    claim_keys,
    index_keys,
    ticket_key,
    ticket_tag,
    tickets_key,
)
from adapters.redis.slots import Slots, ranges, replicas, slot_of
from common import clusters
from domain.identifiers import UserId
from tests.build import ADA

A, B = ("10.0.0.1", 6379), ("10.0.0.2", 6379)
HIDDEN = "0123456789abcdef0123456789abcdef"


def slots_of(*names: str) -> set[int]:
    return set(map(slot_of, names))


@pytest.mark.parametrize("user", ["ada", "a:b@c", "ünï", "tenant:42"])
def test_in_a_cluster_the_keys_of_each_script_share_a_slot(user: str) -> None:
    own, tag = UserId(user), ticket_tag(UserId(user))

    assert len(slots_of(*index_keys("p", own), channel("p", own))) == 1
    assert len(slots_of(ticket_key("p", tag, HIDDEN), tickets_key("p", tag, own))) == 1
    assert len(slots_of(*claim_keys("p", "key", HIDDEN, 10, clustered=True)[:2])) == 1
    assert len(slots_of(*account_keys("p", "f00", "203.0.113.9", clustered=True))) == 1


def test_on_one_server_every_key_keeps_the_name_that_earlier_releases_gave_it() -> None:
    assert claim_keys("p", "key", HIDDEN, 10, clustered=False) == (f"p:claim:{HIDDEN}", "p:claims:key", 10)
    assert (ticket_key("p", "", HIDDEN), tickets_key("p", "", ADA)) == (f"p:ticket:{HIDDEN}", "p:tickets:ada")
    assert account_keys("p", "f00", "::1", clustered=False) == [
        "p:log-ins:f00",
        "p:failures:f00",
        "p:failures:f00:::1",
    ]


def test_the_idempotency_keys_of_a_busy_producer_are_spread_over_64_slots() -> None:
    found = [
        claim_keys("p", "key", f"{n:08x}{HIDDEN[8:]}", 64_000, clustered=True)
        for n in range(0, 2**32, 2**24 + 1)
    ]

    assert len({slot_of(name) for name, _, _ in found}) == 64
    assert {most for _, _, most in found} == {1_000}
    assert claim_keys("p", "key", "f" * 32, 63_999, clustered=True)[2] == 63_999


def test_a_map_is_learnt_whole_and_corrected_by_slot() -> None:
    slots = Slots()
    assert slots.of(7) is None
    assert slots.missing == 16_384

    assert slots.learn([(0, 8191, A), (8192, 16383, B)])
    assert not slots.learn([(0, 8191, A), (8192, 16383, B)])
    assert (slots.of(8191), slots.of(8192), slots.masters, slots.missing) == (A, B, [A, B], 0)
    assert slots.move(8191, B)
    assert not slots.move(8191, B)
    assert slots.of(8191) == B
    assert slots.learn([(0, 16383, B)])
    assert slots.masters == [B]


def test_a_tag_leads_to_a_slot_of_the_node() -> None:
    slots = Slots()
    slots.learn([(0, 16382, A), (16383, 16383, B)])

    for node in (A, B):
        tag = slots.tag(node)
        assert slots.of(slot_of(f"live:node:{{{tag}}}:1")) == node
    assert slots.tag(("10.0.0.3", 6379)) is None


def test_a_node_without_a_name_for_itself_is_at_the_address_that_was_asked() -> None:
    answer = [
        [0, 99, [b"", 7000, b"id"], [b"10.0.0.9", 7001, b"id"]],
        [100, 199, [b"10.0.0.2", 6379, b"id"]],
        [200, 299, [None, 7002, b"id"]],
        [300, 399, [b"?", 7003, b"id"]],
    ]

    assert ranges(answer, A) == [
        (0, 99, ("10.0.0.1", 7000)),
        (100, 199, B),
        (200, 299, ("10.0.0.1", 7002)),
        (300, 399, ("10.0.0.1", 7003)),
    ]
    assert replicas(answer, A) == [("10.0.0.9", 7001)]


@pytest.mark.parametrize(
    ("url", "nodes", "second"),
    [
        ("redis://a,b:7000", [("a", 6379), ("b", 7000)], "redis://[::1]:9/0"),
        ("rediss://me:s%40@a:1/0?ssl_ca_certs=f", [("a", 1)], "rediss://me:s%40@[::1]:9/0?ssl_ca_certs=f"),
        (
            "redis://:p@[fd00::1]:7000,[fd00::2]/",
            [("fd00::1", 7000), ("fd00::2", 6379)],
            "redis://:p@[::1]:9/0",
        ),
    ],
)
def test_an_address_names_nodes_and_what_holds_for_all(
    url: str, nodes: list[clusters.Address], second: str
) -> None:
    found = clusters.parse(url)

    assert found.nodes == nodes
    assert found.of(("::1", 9)) == second
    assert "p@" not in repr(found)


@pytest.mark.parametrize(
    "url",
    ["unix:///a", "redis://", "redis://a/1", "redis://a:0", "redis://a:65536", "redis://a,,b", "redis://a:x"],
)
def test_what_is_no_address_of_a_cluster_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must"):
        clusters.parse(url)
