"""The planted bugs in how PostgreSQL is found and connected to: see tests/mutants/bugs.py."""

from tests.mutants.mutant import Mutant

ADDRESS = "src/common/postgres_address.py"
HOSTS = "src/adapters/postgres/hosts.py"
POOLING = "src/adapters/postgres/pooling.py"
TLS = "src/adapters/postgres/tls.py"
SESSIONS = "src/entrypoints/live/sessions.py"

READ = "tests/unit/test_postgres_address.py"
SECURED = "tests/integration/test_postgres_tls.py"
POOLED = "tests/integration/test_pgbouncer.py"

MUTANTS = (
    Mutant(
        name="channel-binding-is-forgotten",
        breaks="Who asks for channel_binding=require is connected to a server that nobody has verified.",
        file=ADDRESS,
        old='if values.get("channel_binding") == "require":',
        new="if False:",
        tests=(READ,),
    ),
    Mutant(
        name="the-system-trusts-by-any-name",
        breaks="With sslrootcert=system the mode may be one that does not compare names.",
        file=ADDRESS,
        old='if mode not in {None, "verify-full"}:',
        new="if False:",
        tests=(READ,),
    ),
    Mutant(
        name="several-hosts-are-any",
        breaks="Of several hosts a standby is taken, which takes no writes.",
        file=ADDRESS,
        old='("read-write" if len(hosts) > 1 else None)',
        new="None",
        tests=(READ,),
    ),
    Mutant(
        name="revoked-is-not-looked-at",
        breaks="With the authorities of the system, a server with a revoked certificate is accepted.",
        file=TLS,
        old="context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN",
        new="pass",
        tests=(f"{SECURED}::test_the_authorities_of_the_system_are_trusted",),
    ),
    Mutant(
        name="the-url-overrides-nothing",
        breaks="What the URL says of the session is forgotten.",
        file=HOSTS,
        old=", **self._address.startup}",
        new="}",
        tests=(f"{SECURED}::test_what_the_url_says_of_the_session_counts_but_for_the_limits",),
    ),
    Mutant(
        name="prepared-in-transactions",
        breaks="Behind a pooler in transactions statements are kept prepared, on any server connection.",
        file=POOLING,
        old='    "statement_cache_size": 0,\n',
        new="",
        tests=(f"{POOLED}::test_statements_of_many_connections_are_not_mixed_up",),
    ),
    Mutant(
        name="ahead-of-the-store-unnoticed",
        breaks="A client that saw what the store has lost stays ahead, and misses what comes instead.",
        file=SESSIONS,
        old="                session.miss()\n",
        new="                pass\n",
        tests=("tests/unit/test_sessions.py",),
    ),
)
