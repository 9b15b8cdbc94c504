"""The address of the client, as peers and proxies say it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar

from entrypoints.proxies import Proxies
from entrypoints.web.client import client_address, client_network
from entrypoints.web.state import application_state

XFF, FORWARDED = "X-Forwarded-For", "Forwarded"
OURS = "10.0.0.0/8 fd00::/8 192.0.2.7"


def app_with(proxies: str, header: str) -> Litestar:
    return Litestar(
        [], state=application_state(Proxies.parse(proxies, header)), openapi_config=None, logging_config=None
    )


TRUSTING = {header: app_with(OURS, header) for header in (XFF, FORWARDED)}
BY_UNIX = app_with("unix", XFF)
TRUSTING_NOBODY = app_with("", XFF)


def address(app: Litestar | None, peer: str | None, *fields: tuple[str, str]) -> str:
    return client_address(scope(app, peer, *fields))


def scope(app: Litestar | None, peer: str | None, *fields: tuple[str, str]) -> Any:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    made: dict[str, Any] = {"client": (peer, 50_000) if peer is not None else None, "headers": headers}
    return made | ({"litestar_app": app} if app else {})


@pytest.mark.parametrize("app", [None, TRUSTING_NOBODY, TRUSTING[XFF], TRUSTING[FORWARDED]])
def test_a_peer_that_is_no_proxy_is_the_client_whatever_it_says(app: Litestar | None) -> None:
    forged = [(XFF, "127.0.0.1"), (FORWARDED, "for=127.0.0.1"), ("X-Real-IP", "127.0.0.1")]

    assert address(app, "203.0.113.9", *forged) == "203.0.113.9"


@pytest.mark.parametrize("peer", ["10.0.0.1", "192.0.2.7", "fd00::1", "::ffff:10.0.0.1"])
def test_a_proxy_says_who_its_client_is(peer: str) -> None:
    assert address(TRUSTING[XFF], peer, (XFF, "203.0.113.9")) == "203.0.113.9"


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2, fd00::5", "203.0.113.9"),
        ("10.9.9.9, 10.0.0.2", "10.9.9.9"),
        ("10.0.0.2", "10.0.0.2"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ('"203.0.113.9"', "203.0.113.9"),
        ("  203.0.113.9\t", "203.0.113.9"),
        ("203.0.113.9,,", "203.0.113.9"),
        ("", "10.0.0.1"),
        (",", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.9, unknown", "10.0.0.1"),
        ("203.0.113.9, nonsense, 10.0.0.2", "10.0.0.2"),
        ("203.0.113.9.1", "10.0.0.1"),
        ("999.0.0.1", "10.0.0.1"),
        ("0x7f.0.0.1", "10.0.0.1"),
        ("203.0.113.009", "10.0.0.1"),
        ("\xff", "10.0.0.1"),
    ],
)
def test_of_x_forwarded_for_the_last_that_is_no_proxy_counts(value: str, client: str) -> None:
    assert address(TRUSTING[XFF], "10.0.0.1", (XFF, value)) == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ("For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9"),
        ("proto=https; for=203.0.113.9", "203.0.113.9"),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ('for="203.0.113.9:_port"', "203.0.113.9"),
        ('for="203.0.113.\\9"', "203.0.113.9"),
        ("for=6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ("for=6.6.6.6, for=203.0.113.9;host=x, for=10.0.0.2", "203.0.113.9"),
        ("for=unknown", "10.0.0.1"),
        ("for=_hidden", "10.0.0.1"),
        ("for=203.0.113.9, for=_SEVKISEK, for=10.0.0.2", "10.0.0.2"),
        ("proto=https", "10.0.0.1"),
        ("for=203.0.113.9, proto=https", "10.0.0.1"),
        ("", "10.0.0.1"),
        # What a client wrote must not hide what the proxy added, nor stand for it.
        ('for="6.6.6.6, for=203.0.113.9', "203.0.113.9"),
        ('for="6.6.6.6;x=", for=203.0.113.9', "203.0.113.9"),
        ('for=203.0.113.9;host="a, for=6.6.6.6"', "203.0.113.9"),
        ('for=203.0.113.9;host="a;for=6.6.6.6"', "203.0.113.9"),
        ('host="a;for=6.6.6.6";for=203.0.113.9', "203.0.113.9"),
        ("for 6.6.6.6, for=203.0.113.9", "203.0.113.9"),
        ("for=6.6.6.6 for=203.0.113.9", "10.0.0.1"),
    ],
)
def test_of_forwarded_the_last_that_is_no_proxy_counts(value: str, client: str) -> None:
    assert address(TRUSTING[FORWARDED], "10.0.0.1", (FORWARDED, value)) == client


def test_a_proxy_that_was_forgotten_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    app = app_with("", XFF)
    address(app, "203.0.113.9")
    assert caplog.messages == []

    for peer in ("203.0.113.9", "203.0.113.8"):
        address(app, peer, (XFF, "6.6.6.6\n"))
    (message,) = caplog.messages
    assert message.startswith(
        "203.0.113.9 sends the header x-forwarded-for and is not in BELLWIRE_TRUSTED_PROXIES"
    )


def test_of_a_header_that_comes_in_several_lines_the_last_one_was_added_last() -> None:
    lines = [(XFF, "6.6.6.6"), (XFF, "203.0.113.9"), (XFF, "10.0.0.2")]

    assert address(TRUSTING[XFF], "10.0.0.1", *lines) == "203.0.113.9"


def test_the_header_that_the_proxies_do_not_write_is_not_read() -> None:
    """A client can send it through them."""
    assert (
        address(TRUSTING[XFF], "10.0.0.1", (FORWARDED, "for=6.6.6.6"), (XFF, "203.0.113.9")) == "203.0.113.9"
    )
    assert address(TRUSTING[XFF], "10.0.0.1", (FORWARDED, "for=6.6.6.6")) == "10.0.0.1"
    both = [(XFF, "6.6.6.6"), (FORWARDED, "for=203.0.113.9")]
    assert address(TRUSTING[FORWARDED], "10.0.0.1", *both) == "203.0.113.9"


@pytest.mark.parametrize("peer", [None, ""])
def test_the_peer_on_a_unix_socket_is_a_proxy_only_if_it_is_named(peer: str | None) -> None:
    assert address(BY_UNIX, peer, (XFF, "203.0.113.9")) == "203.0.113.9"
    assert address(TRUSTING[XFF], peer, (XFF, "203.0.113.9")) == ""
    assert address(BY_UNIX, "127.0.0.1", (XFF, "203.0.113.9")) == "127.0.0.1"


def test_a_chain_of_nothing_but_proxies_is_read_to_a_limit() -> None:
    chain = ", ".join(["6.6.6.6", *["10.0.0.2"] * 5_000])

    assert address(TRUSTING[XFF], "10.0.0.1", (XFF, chain)) == "10.0.0.2"


@pytest.mark.parametrize(
    "piece", [",", '"', ";", "a=b,", 'a="', ',a="x', " ", ";" + " " * 3, "\\", 'for="x\\', "for=1.2.3.4;"]
)
@pytest.mark.parametrize("end", ["", "\0", "for=203.0.113.9"])
@pytest.mark.timeout(10)
def test_a_header_that_was_made_to_be_slow_is_not(piece: str, end: str) -> None:
    address(TRUSTING[FORWARDED], "10.0.0.1", (FORWARDED, piece * (32_000 // len(piece)) + end))
    address(TRUSTING[XFF], "10.0.0.1", (XFF, piece * (32_000 // len(piece)) + end))


pieces = st.sampled_from(
    ["for=", "6.6.6.6", "203.0.113.9", ",", ";", '"', "\\", " ", "host=", "unknown", "_x", "[::1]", ":1", "a"]
)


@given(st.lists(pieces, max_size=30).map("".join))
def test_whatever_a_client_wrote_what_the_proxy_added_behind_it_counts(forged: str) -> None:
    header = (FORWARDED, f"{forged}, for=203.0.113.9") if forged else (FORWARDED, "for=203.0.113.9")

    assert address(TRUSTING[FORWARDED], "10.0.0.1", header) == "203.0.113.9"
    assert address(TRUSTING[XFF], "10.0.0.1", (XFF, f"{forged}, 203.0.113.9")) == "203.0.113.9"


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::1", "::/64"),
        ("no address", "no address"),
    ],
)
def test_ipv6_clients_are_counted_by_their_network(client: str, network: str) -> None:
    assert client_network(scope(None, client)) == network


def test_a_peer_on_a_unix_socket_is_one_party() -> None:
    assert client_network(scope(None, None)) == ""


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0", "proxy.example", "10.0.0.0/33", "*", "unix:/run/x"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be addresses and networks"):
        Proxies.parse(text, XFF)


def test_networks_are_separated_by_spaces_or_commas() -> None:
    found = Proxies.parse("10.0.0.0/8,fd00::/8 , 192.0.2.7 unix", XFF)

    assert (len(found.networks), found.unix) == (3, True)
