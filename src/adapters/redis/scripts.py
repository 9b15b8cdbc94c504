"""Scripts that run inside Redis, so that they are atomic.

Keys of a user, under one prefix:
  feed:<user>    hash    e(poch), v(ersion), n (unread count), c(omplete: 0 if older ones were left out)
  unread:<user>  zset    the newest unread notifications as JSON, all with score 0: they are ordered by their
                         bytes, which begin with {"id":"<UUIDv7>", and therefore by time
  lease:<user>   string  a random token: its holder may load what it reads next from PostgreSQL

The protocol; each simpler form fails in some interleaving:
  - a change is applied only to an entry at exactly the version before it; an entry that has a gap is dropped;
    an entry that is ahead includes the change already;
  - every announced change voids the lease, so that nothing read before it is loaded after it;
  - the lease is random, not a counter: a counter would start again after FLUSHALL.
The keys are built in the scripts, so this needs one Redis (or a Sentinel set), not Redis Cluster.
"""

# KEYS feed, unread, lease. ARGV limit, highest member ("+" for the first page), lease, lease ms.
PAGE = """
local feed = redis.call('HMGET', KEYS[1], 'e', 'v', 'n', 'c')
local limit = tonumber(ARGV[1])
if feed[1] then
    if limit == 0 then
        return {1, feed[1], feed[2], feed[3]}
    end
    local items = redis.call('ZRANGE', KEYS[2], ARGV[2], '-', 'BYLEX', 'REV', 'LIMIT', 0, limit + 1)
    -- Redis may evict one key of an entry and keep the other: what claims to be complete is counted.
    local complete = feed[4] == '1'
    local whole = not complete or redis.call('ZCARD', KEYS[2]) == tonumber(feed[3])
    if whole and (complete or #items > limit) then
        return {1, feed[1], feed[2], feed[3], unpack(items)}
    end
    if whole and ARGV[2] ~= '+' then
        return {0, 0}
    end
end
if redis.call('SET', KEYS[3], ARGV[3], 'NX', 'PX', ARGV[4]) then
    return {0, 1}
end
return {0, 0}
"""

# KEYS feed, unread, lease. ARGV lease, epoch, version, unread count, complete, ms to live, items...
LOAD = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'e', ARGV[2], 'v', ARGV[3], 'n', ARGV[4], 'c', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
for i = 7, #ARGV do
    redis.call('ZADD', KEYS[2], 0, ARGV[i])
end
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return 1
"""

# KEYS none. ARGV prefix, capacity, ms to live, changes as MessagePack:
# [user, epoch, prev, version, unread count, applicable, ids to remove, items to add]...
APPLY = """
local prefix, capacity, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function remove(unread, id)
    local first = '[{"id":"' .. id .. '"'
    redis.call('ZREMRANGEBYLEX', unread, first, first .. '\\255')
end

-- False if the entry cannot tell where the item belongs.
local function add(unread, item, complete)
    if not complete then
        local oldest = redis.call('ZRANGE', unread, 0, 0)[1]
        if not oldest then
            return false
        end
        if item < oldest then
            return true
        end
    end
    redis.call('ZADD', unread, 0, item)
    return true
end

local function trim(feed, unread)
    local excess = redis.call('ZCARD', unread) - capacity
    if excess > 0 then
        redis.call('ZREMRANGEBYRANK', unread, 0, excess - 1)
        redis.call('HSET', feed, 'c', '0')
    end
end

for _, change in ipairs(cmsgpack.unpack(ARGV[4])) do
    local user, epoch, prev, version, count, applicable, gone, new = unpack(change)
    local feed, unread = prefix .. ':feed:' .. user, prefix .. ':unread:' .. user
    redis.call('DEL', prefix .. ':lease:' .. user)
    local held = redis.call('HMGET', feed, 'e', 'v', 'c', 'n')
    local at, complete = tonumber(held[2]), held[3] == '1'
    if at and (held[1] ~= epoch or at < version) then
        -- Counted here too: past the capacity an entry is no longer complete, and then nobody could tell.
        local whole = not complete or redis.call('ZCARD', unread) == tonumber(held[4])
        local fits = applicable and held[1] == epoch and at == prev and whole
        if fits then
            for _, id in ipairs(gone) do
                remove(unread, id)
            end
            for _, item in ipairs(new) do
                fits = fits and add(unread, item, complete)
            end
        end
        if fits then
            redis.call('HSET', feed, 'v', version, 'n', count)
            trim(feed, unread)
            redis.call('PEXPIRE', feed, ttl)
            redis.call('PEXPIRE', unread, ttl)
        else
            redis.call('DEL', feed, unread)
        end
    end
end
return 0
"""

# KEYS key. ARGV value, ms to live. The value that stands there, after storing this one if none did.
CLAIM = """
local held = redis.call('GET', KEYS[1])
if held then
    return held
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""
