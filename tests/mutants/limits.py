"""The planted bugs in the limits of rates and in the client's address: see tests/mutants/bugs.py."""

from tests.mutants.mutant import Mutant

GUARDS = "src/entrypoints/web/guards.py"
CLIENT = "src/entrypoints/web/client.py"
LIMITS = "src/application/limits.py"
LOG_INS = "src/application/log_ins.py"
REDIS_LIMITS = "src/adapters/redis/limits.py"
TURNS = "src/adapters/security/turns.py"

OVER_HTTP = "tests/unit/test_limited.py"
ADDRESSES = "tests/unit/test_client_address.py"
ALONE = "tests/unit/test_limits.py"
IN_TURN = "tests/unit/test_turns.py"
ON_REDIS = "tests/integration/test_limits_redis.py"
DRILLS = "tests/integration/test_limits.py"

MUTANTS = (
    Mutant(
        name="keys-publish-without-a-limit",
        breaks="A notification is not counted for its key.",
        file=GUARDS,
        old="    spend(scope, limits.publish, key_id)\n",
        new="",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="a-batch-costs-one",
        breaks="The other items of a batch are not counted.",
        file="src/entrypoints/http/publishing.py",
        old="if len(data.items) > 1:",
        new="if False:",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="users-ask-without-a-limit",
        breaks="The requests of a user are not counted.",
        file=GUARDS,
        old="    spend(connection.scope, limits.requests, claims.user_id)\n",
        new="",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="marks-without-a-limit",
        breaks="The marks of a user are not counted.",
        file=GUARDS,
        old='    spend(connection.scope, part(connection, Limits).marks, connection.scope["auth"].user_id)\n',
        new="",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="tickets-without-a-limit",
        breaks="Stream tickets are not counted.",
        file=GUARDS,
        old=".tickets, client_network(connection.scope))",
        new=".tickets, str(id(connection)))",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="sockets-without-a-limit",
        breaks="Handshakes are not counted.",
        file="src/entrypoints/live/socket.py",
        old="        part_of(app, Limits).openings.take(client_network(scope))\n",
        new="",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="event-streams-without-a-limit",
        breaks="Event streams are not counted.",
        file="src/entrypoints/live/events.py",
        old="    spend(request.scope, limits.openings, client_network(request.scope))\n",
        new="",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="sign-ups-without-a-limit",
        breaks="Users who are created without a key are not counted.",
        file=GUARDS,
        old="        await spend_together(\n",
        new="        _ = spend_together, (\n",
        tests=(OVER_HTTP, DRILLS),
    ),
    Mutant(
        name="log-ins-without-a-limit",
        breaks="Log-ins are not counted by address.",
        file=LOG_INS,
        old="        self.limiter.take(address)\n",
        new="",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="passwords-guessed-without-delay",
        breaks="Failed log-ins of an account cause no delay.",
        file=REDIS_LIMITS,
        old="if free > 0 and til > now then",
        new="if false then",
        tests=(ON_REDIS, DRILLS),
    ),
    Mutant(
        name="passwords-sprayed-over-accounts",
        breaks="Failed log-ins of many accounts from one address are not counted.",
        file=REDIS_LIMITS,
        old="if not known and interval > 0 then",
        new="if false then",
        tests=(ON_REDIS,),
    ),
    Mutant(
        name="anybody-locks-a-user-out",
        breaks="What fails elsewhere delays log-ins from known addresses.",
        file=REDIS_LIMITS,
        old="local known = type(score) == 'string'",
        new="local known = false",
        tests=(ON_REDIS, DRILLS),
    ),
    Mutant(
        name="many-log-ins-together-are-a-way-around",
        breaks="An attempt counts only once it has failed.",
        file=LOG_INS,
        old="        failures.count += 1\n",
        new="        failures.count += self._now() > 1e12\n",
        tests=("tests/unit/test_limits_memory.py", OVER_HTTP),
    ),
    Mutant(
        name="invalid-tokens-are-not-counted",
        breaks="Any number of invalid tokens may come from an address.",
        file=GUARDS,
        old="        count_failure(connection.scope, limits)\n",
        new="",
        tests=(OVER_HTTP,),
    ),
    Mutant(
        name="processes-do-not-settle",
        breaks="Each process applies a limit by itself.",
        file=LIMITS,
        old="        if account.unsettled >= self._share:\n",
        new="        if account.unsettled < 0:\n",
        tests=(ALONE, DRILLS),
    ),
    Mutant(
        name="an-outage-is-charged-later",
        breaks="What was taken while Redis was away is added when it is back.",
        file=LIMITS,
        old="        taken, account.unsettled = account.unsettled, 0\n",
        new="        taken = account.unsettled\n",
        tests=(ALONE,),
    ),
    Mutant(
        name="no-bound-on-waiting-passwords",
        breaks="Any number of passwords may wait to be checked.",
        file=TURNS,
        old="            raise Busy\n",
        new="            pass\n",
        tests=(IN_TURN,),
    ),
    Mutant(
        name="first-come-first-served",
        breaks="One that asks for many turns holds up one that asks for one.",
        file=TURNS,
        old="            party, turns = self._parties.popitem(last=False)\n",
        new="            party, turns = self._parties.popitem(last=True)\n",
        tests=(IN_TURN,),
    ),
    Mutant(
        name="known-users-wait-with-the-crowd",
        breaks="Log-ins from known addresses wait for all others.",
        file=TURNS,
        old="self._first if first else self._others",
        new="self._others",
        tests=(IN_TURN,),
    ),
    Mutant(
        name="anybody-is-believed-about-the-client",
        breaks="A peer that is no proxy chooses its address.",
        file=CLIENT,
        old="    if not proxies.trusts(_parsed(peer), unix=not peer):\n",
        new="    if not proxies.header:\n",
        tests=(ADDRESSES, DRILLS),
    ),
    Mutant(
        name="the-first-address-counts",
        breaks="What a client wrote into the header stands for its address.",
        file=CLIENT,
        old="        if not proxies.trusts(address):\n            break\n",
        new="",
        tests=(ADDRESSES,),
    ),
    Mutant(
        name="every-ipv6-address-is-another-party",
        breaks="A client with an IPv6 network escapes every limit.",
        file=CLIENT,
        old="    if isinstance(parsed, IPv6Address):\n        return str(IPv6Network",
        new="    if parsed is None:\n        return str(IPv6Network",
        tests=(ADDRESSES,),
    ),
    Mutant(
        name="the-server-believes-headers",
        breaks="uvicorn takes the client's address from a header of any local process.",
        file="src/entrypoints/serving.py",
        old='        "proxy_headers": False,\n',
        new="",
        tests=(DRILLS,),
    ),
)
