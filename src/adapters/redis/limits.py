"""RedisRates and RedisLogInAttempts: limits that hold across processes.

Keys, under one prefix; all expire by themselves, and may be lost at any time:
  limit:<name>:<party>          string  when the party is due, in microseconds of the clock of Redis
  log-ins:<account>             zset    the known addresses of an account, by the time of the last log-in
  failures:<account>            hash    n, the failed attempts at other addresses; u, until when it is delayed
  failures:<account>:<address>  hash    the same for one known address

What they hold is not believed blindly: what is not a number, or too far in the future, counts as nothing.
"""

from collections.abc import Sequence
from typing import Any

from adapters.redis.evaluating import Script
from adapters.redis.names import account_keys, limit_key
from adapters.redis.nodes import Nodes
from application.errors import Limited, Unavailable
from application.log_ins import (
    CAP_SECONDS,
    FAILED_LOG_INS,
    KEPT_SECONDS,
    KNOWN_ADDRESSES,
    KNOWN_CAP_SECONDS,
    KNOWN_SECONDS,
    OF_ACCOUNT,
    LocalLogInAttempts,
)
from application.ports import Use
from domain.rates import Patience, Rate

_MICRO = 1_000_000
# The largest cost: a batch.
_MOST_AT_ONCE = 1_000

_COMMON = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function due_of(key, latest)
    local held = redis.pcall('GET', key)
    local due = type(held) == 'string' and tonumber(held)
    if due and due > now and due <= now + latest then
        return due
    end
    return now
end

local function keep(key, due)
    if due > now then
        redis.call('SET', key, string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
    else
        redis.call('DEL', key)
    end
end
"""

# KEYS limit. ARGV cost, interval, window, latest, in microseconds. Whether it was taken, and the microseconds
# until the party is due, or to wait.
_TAKE = (
    _COMMON
    + """
local cost, interval, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local due = due_of(KEYS[1], tonumber(ARGV[4]))
local wait = due + math.min(cost * interval, window) - window - now
if wait > 1 then
    return {0, math.ceil(wait)}
end
due = due + cost * interval
keep(KEYS[1], due)
return {1, math.ceil(due - now)}
"""
)

# KEYS limits. ARGV cost, interval, latest of each. The microseconds until each party is due.
_SETTLE = (
    _COMMON
    + """
local behind = {}
for i, key in ipairs(KEYS) do
    local cost, interval, latest = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    local due = math.min(due_of(key, latest) + cost * interval, now + latest)
    keep(key, due)
    behind[i] = math.ceil(due - now)
end
return behind
"""
)

# KEYS limit. ARGV interval, window.
_GIVE_BACK = (
    _COMMON
    + """
keep(KEYS[1], due_of(KEYS[1], 2 * tonumber(ARGV[2])) - tonumber(ARGV[1]))
return 0
"""
)

_COUNTER = """
local function held_by(counter, cap)
    local held = redis.pcall('HMGET', counter, 'n', 'u')
    if held.err then
        redis.call('DEL', counter)
        return 0, 0
    end
    local failures, til = tonumber(held[1] or 0) or 0, tonumber(held[2] or 0) or 0
    if not (failures >= 0 and failures < 1000000) then
        failures = 0
    end
    if not (til <= now + cap) then
        til = 0
    end
    return failures, til
end
"""

# KEYS known addresses, failures, failures of the address, limit of the address (not if it is taken of apart).
# ARGV address, free, cap, cap if known, interval, window, microseconds; seconds to keep a few, and many.
# 0 or what refused it, the microseconds to wait, whether the address is known.
_BEGIN = (
    _COMMON
    + _COUNTER
    + """
local score = redis.pcall('ZSCORE', KEYS[1], ARGV[1])
local known = type(score) == 'string'
local free, interval, window = tonumber(ARGV[2]), tonumber(ARGV[5]), tonumber(ARGV[6])
local counter, cap = KEYS[2], tonumber(ARGV[3])
if known then
    counter, cap = KEYS[3], tonumber(ARGV[4])
end
local failures, til = held_by(counter, cap)
if free > 0 and til > now then
    return {1, til - now, 0}
end
if not known and interval > 0 then
    local due = due_of(KEYS[4], 2 * window) + interval
    if due - window - now > 1 then
        return {2, math.ceil(due - window - now), 0}
    end
    keep(KEYS[4], due)
end
if free > 0 then
    failures = failures + 1
    local keeping = ARGV[7]
    til = 0
    if failures >= free then
        til = now + math.min(1000000 * 2 ^ math.min(failures - free, 32), cap)
        keeping = ARGV[8]
    end
    redis.call('HSET', counter, 'n', failures, 'u', string.format('%.0f', til))
    redis.call('EXPIRE', counter, keeping)
end
return {0, 0, known and 1 or 0}
"""
)

# KEYS as above. ARGV address, whether it was known, interval, window, how many to know, seconds to know them.
_SUCCEEDED = (
    _COMMON
    + """
if ARGV[2] == '1' then
    redis.call('DEL', KEYS[3])
else
    redis.call('DEL', KEYS[2])
    if KEYS[4] then
        keep(KEYS[4], due_of(KEYS[4], 2 * tonumber(ARGV[4])) - tonumber(ARGV[3]))
    end
end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then
    redis.call('DEL', KEYS[1])
end
redis.call('ZADD', KEYS[1], clock[1], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[5]))
redis.call('EXPIRE', KEYS[1], ARGV[6])
return 0
"""
)

# KEYS as above. ARGV whether the address was known, interval, window.
_VOID = (
    _COMMON
    + _COUNTER
    + """
local counter = ARGV[1] == '1' and KEYS[3] or KEYS[2]
local failures = held_by(counter, 0)
if failures > 0 then
    redis.call('HSET', counter, 'n', failures - 1, 'u', 0)
end
if ARGV[1] ~= '1' and KEYS[4] then
    keep(KEYS[4], due_of(KEYS[4], 2 * tonumber(ARGV[3])) - tonumber(ARGV[2]))
end
return 0
"""
)


class RedisRates:
    """What was taken of the limits, in Redis, by its clock: one script and one round trip."""

    def __init__(self, server: Nodes, prefix: str) -> None:
        self._server = server
        self._prefix = prefix
        self._take = Script(_TAKE)
        self._settle = Script(_SETTLE)
        self._give_back = Script(_GIVE_BACK)

    async def take(self, use: Use) -> tuple[bool, float]:
        rate = use.rate
        args = [use.cost, rate.interval * _MICRO, rate.seconds * _MICRO, _latest(rate)]
        key = self._key(use)
        # Not repeatable: it would be taken twice.
        taken, behind = await self._server.on(
            key, lambda client: self._take(client, keys=[key], args=args), repeatable=False
        )
        return bool(taken), behind / _MICRO

    async def settle(self, uses: Sequence[Use]) -> Sequence[float]:
        if not uses:
            return ()
        each = [((self._key(use),), _settled(use)) for use in uses]
        if self._server.clustered:
            found = await self._server.each(self._settle, each, repeatable=False)
            # Of a node that cannot be reached nothing is known: what was taken there is forgotten.
            behind = [0 if isinstance(answer, Unavailable) else answer[0] for answer in found]
        else:
            keys, args = [key for (key,), _ in each], [word for _, words in each for word in words]
            behind = await self._server.on(
                keys[0], lambda client: self._settle(client, keys=keys, args=args), repeatable=False
            )
        return [one / _MICRO for one in behind]

    async def give_back(self, limit: str, party: str, rate: Rate) -> None:
        """Give back what was taken, at a cost of one. Raises Unavailable."""
        key = limit_key(self._prefix, limit, party)
        args = [rate.interval * _MICRO, rate.seconds * _MICRO]
        await self._server.on(
            key, lambda client: self._give_back(client, keys=[key], args=args), repeatable=False
        )

    def _key(self, use: Use) -> str:
        return limit_key(self._prefix, use.limit, use.party)


def _settled(use: Use) -> tuple[float, ...]:
    return use.cost, use.rate.interval * _MICRO, _latest(use.rate)


def _latest(rate: Rate) -> float:
    """How far in the future a party can be due, in microseconds."""
    return (2 * rate.seconds + _MOST_AT_ONCE * rate.interval) * _MICRO


class RedisLogInAttempts:
    """Failed log-ins in Redis: one round trip before a password is checked, and one after. Without Redis each
    process counts alone.

    In a cluster the rate must be None: see ClusterLogInAttempts.
    """

    def __init__(
        self,
        server: Nodes,
        prefix: str,
        patience: Patience,
        rate: Rate | None,
        local: LocalLogInAttempts,
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._free = patience.free
        self._local = local
        self._of_rate = [rate.interval * _MICRO, rate.seconds * _MICRO] if rate else [0, 0]
        self._begin = Script(_BEGIN)
        self._succeeded = Script(_SUCCEEDED)
        self._void = Script(_VOID)

    async def begin(self, account: str, address: str) -> bool:
        caps = [CAP_SECONDS * _MICRO, KNOWN_CAP_SECONDS * _MICRO]
        args = [address, self._free, *caps, *self._of_rate, *KEPT_SECONDS]
        try:
            # Not repeatable: it would count twice.
            refused, wait, known = await self._ask(self._begin, account, address, args, repeatable=False)
        except Unavailable:
            return await self._local.begin(account, address)
        if refused:
            raise Limited(OF_ACCOUNT if refused == 1 else FAILED_LOG_INS, wait / _MICRO)
        return bool(known)

    async def succeeded(self, account: str, address: str, *, known: bool) -> None:
        await self._local.succeeded(account, address, known=known)
        args = [address, int(known), *self._of_rate, KNOWN_ADDRESSES, KNOWN_SECONDS]
        try:
            await self._ask(self._succeeded, account, address, args)
        except Unavailable:
            return

    async def void(self, account: str, address: str, *, known: bool) -> None:
        await self._local.void(account, address, known=known)
        try:
            args = [int(known), *self._of_rate]
            await self._ask(self._void, account, address, args, repeatable=False)
        except Unavailable:
            return

    async def _ask(
        self, script: Script, account: str, address: str, args: Sequence[Any], *, repeatable: bool = True
    ) -> Any:
        clustered = self._server.clustered
        keys = account_keys(self._prefix, account, address, clustered=clustered)
        if not clustered:
            keys.append(limit_key(self._prefix, FAILED_LOG_INS, address))
        return await self._server.on(
            keys[0], lambda client: script(client, keys=keys, args=args), repeatable=repeatable
        )
