"""Bugs in how Redis is reached."""

from typing import Final

from tests.mutants.mutant import Mutant

SENTINEL = "src/adapters/redis/sentinel.py"
WAYS = "tests/integration/test_redis_sentinel.py"

MUTANTS: Final = (
    Mutant(
        name="a-primary-that-was-cut-off",
        breaks="A process stays with a primary that goes on serving it after another one was promoted.",
        file=SENTINEL,
        old="            self.sentinels.look()\n",
        new="            pass\n",
        tests=(f"{WAYS}::test_a_primary_that_is_cut_off_is_left_although_it_goes_on_serving",),
    ),
    Mutant(
        name="the-first-sentinel-decides",
        breaks="A sentinel that was away sends a process back to the old primary.",
        file=SENTINEL,
        old="if len(named) > len(asked) // 2:",
        new="if named:",
        tests=("tests/unit/test_redis_sentinels.py",),
    ),
    Mutant(
        name="a-replica-for-a-primary",
        breaks="A process connects to a replica that a sentinel still names.",
        file=SENTINEL,
        old='if b"replica" in',
        new='if b"" in',
        tests=(f"{WAYS}::test_a_demoted_primary_that_a_sentinel_still_names_is_refused",),
    ),
    Mutant(
        name="a-context-for-each-connection",
        breaks="Each connection with TLS takes 50 ms, in which a process does nothing else.",
        file="src/adapters/redis/tls.py",
        old="if times != self._times:",
        new="if True:",
        tests=("tests/integration/test_redis_tls.py",),
    ),
)
