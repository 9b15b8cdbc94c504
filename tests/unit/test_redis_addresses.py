"""What an address of Redis may be, and what is said of one that cannot be used."""

import pytest

from common import sentinels
from entrypoints.commands.doctor import usable
from entrypoints.settings import InvalidSettings, Settings

SECRET = "hunter2"
SENTINELS = f"redis://bw:{SECRET}@a,[::1]:2,c:3/4?master=m&sentinel_username=s&sentinel_password=x%26y"


def read(url: str, mode: str = "sentinel") -> Settings:
    return Settings.read({"BELLWIRE_REDIS_URL": url, "BELLWIRE_REDIS_MODE": mode})


def test_an_address_of_sentinels_says_where_they_are_and_whom_they_watch() -> None:
    read(SENTINELS)
    found = sentinels.parse(SENTINELS)

    assert found.master == "m"
    assert found.sentinels == ["redis://s:x%26y@a:26379", "redis://s:x%26y@[::1]:2", "redis://s:x%26y@c:3"]
    assert found.server == f"redis://bw:{SECRET}@a:26379/4"
    assert SECRET not in repr(found)
    assert "x%26y" not in repr(found)


def test_what_is_about_tls_holds_for_redis_and_for_sentinels() -> None:
    url = "rediss://a:1/2?master=m&ssl_ca_certs=/with%20space.pem&db=3&ssl_check_hostname=no"
    read(url)
    found = sentinels.parse(url)

    assert found.server == "rediss://a:1/2?ssl_ca_certs=%2Fwith+space.pem&db=3&ssl_check_hostname=no"
    assert found.sentinels == ["rediss://a:1?ssl_ca_certs=%2Fwith+space.pem&ssl_check_hostname=no"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"redis://:{SECRET}@a,b/0", "REDIS_MODE: with sentinel, BELLWIRE_REDIS_URL needs ?master=…"),
        (f"unix://:{SECRET}@/run/redis.sock?master=m", "REDIS_URL: must begin with redis:// or rediss://"),
        (f"redis://:{SECRET}#1@a/0?master=m", "REDIS_URL: must begin with redis:// or rediss://, without"),
        (f"redis://:{SECRET}@a,/0?master=m", "REDIS_URL: must have host or host:port of each sentinel"),
        (f"redis://:{SECRET}@a:0/0?master=m", "REDIS_URL: must have host or host:port of each sentinel"),
        (f"redis://:{SECRET}@a:70000/0?master=m", "REDIS_URL: must have host or host:port of each sentinel"),
        (f"redis://:{SECRET}@::1/0?master=m", "REDIS_URL: must have host or host:port of each sentinel"),
        (f"redis://:{SECRET}@a/zero?master=m", "REDIS_URL: has a path that is not a database number"),
        (f"redis://:{SECRET}@a/0?master=m&wrong=1", "REDIS_URL: has a parameter that redis-py does not know"),
        (
            f"redis://:{SECRET}@a/0?master=m&ssl_ca_certs=/x",
            "REDIS_URL: has a parameter about TLS, which needs",
        ),
    ],
)
def test_an_address_that_leads_to_no_sentinels_is_one_line(url: str, said: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        read(url)

    assert str(raised.value).startswith(f"BELLWIRE_{said}")
    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"redis://:{SECRET}@a:1,b:2/0", "names several servers: say with BELLWIRE_REDIS_MODE what they are"),
        (
            f"redis://:{SECRET}@a/0?master=m",
            "has the parameter master, which needs BELLWIRE_REDIS_MODE=sentinel",
        ),
        (f"redis://:{SECRET}@a/0?ssl_certfile=/x", "has a parameter about TLS, which needs rediss://"),
        (
            f"rediss://:{SECRET}@a/0?ssl_cert_reqs=maybe",
            "has a parameter that redis-py does not know, or one",
        ),
    ],
)
def test_one_server_is_not_several(url: str, said: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        read(url, "server")

    assert str(raised.value).startswith(f"BELLWIRE_REDIS_URL: {said}")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {"BELLWIRE_REDIS_MODE": "sentinel"},
        {"BELLWIRE_REDIS_MODE": "sentinel", "BELLWIRE_REDIS_URL": "redis://a,b/0"},
        {"BELLWIRE_REDIS_MODE": "sentinel", "BELLWIRE_REDIS_URL": "redis://a:0?master=m"},
    ],
)
def test_doctor_goes_on_without_what_is_wrong(given: dict[str, str]) -> None:
    settings, wrong = usable(given)

    assert wrong
    assert settings.redis_mode == "server"
