"""Scripts that run inside Redis, so that they are atomic.

Keys of a user, under one prefix; the braces are part of the names (see names.py):
  feed:{<user>}    hash    e(poch), v(ersion), n (unread count), k (the other counts), m (the code
                           of these, see macs.py), c(omplete: 0 if older ones were left out), b(ytes of the
                           notifications)
  unread:{<user>}  zset    the newest unread notifications as JSON with their codes, all with score 0: they
                           are ordered by their bytes, which begin with {"id":"<UUIDv7>", and so by time
  lease:{<user>}   string  a random token: its holder may load what it reads next from PostgreSQL

The protocol; each simpler form fails in some interleaving:
  - a change is applied only to an entry at exactly the version before it; an entry that has a gap is dropped;
    an entry that is ahead includes the change already;
  - every announced change voids the lease, so that nothing read before it is loaded after it;
  - the lease is random, not a counter in Redis, which would start again after FLUSHALL. A process counts its
    leases behind a random part of its own.
Frames are published by the script that applies their changes: who gets a frame and reads finds the change.
All keys that a script uses are in KEYS.
"""

# A key that has another type than it should counts as missing and is deleted. Python checks the contents
# (macs.py).

# KEYS feed, unread, lease. ARGV limit, highest member ("+" for the first page), lease, lease ms, bytes, the
# head with which the caller has this page already, or nothing.
# The answer is one text, because each part of an answer costs both sides more than its bytes: epoch,
# version, unread count, other counts, code (these are the head), 1 if there are more, items..., with NUL
# between them, which JSON never has. If the head is that of the caller: 2. Of an entry that cannot answer: 1
# if the lease was taken, or 0.
PAGE = """
local limit, most = tonumber(ARGV[1]), tonumber(ARGV[5])
local feed, items, head = redis.pcall('HMGET', KEYS[1], 'e', 'v', 'n', 'k', 'm', 'c'), {}, nil
if feed[1] then
    head = table.concat({feed[1], feed[2] or '', feed[3] or '', feed[4] or '', feed[5] or ''}, '\\0')
    if head == ARGV[6] then
        return 2
    end
end
if head and limit > 0 then
    items = redis.pcall('ZRANGE', KEYS[2], ARGV[2], '-', 'BYLEX', 'REV', 'LIMIT', 0, limit + 1)
end
local failure = feed.err or items.err
if failure then
    if not string.find(failure, 'WRONGTYPE', 1, true) then
        return {err = failure}
    end
    redis.call('DEL', KEYS[1], KEYS[2])
    head = nil
end
if head then
    if limit == 0 then
        return head .. '\\0000'
    end
    local count, bytes = 0, 0
    while count < limit and items[count + 1] and bytes + #items[count + 1] <= most do
        count = count + 1
        bytes = bytes + #items[count]
    end
    local complete, more = feed[6] == '1', count < #items
    -- Redis may evict one key of an entry and keep the other: what claims to be complete is counted.
    local whole = not complete or redis.call('ZCARD', KEYS[2]) == tonumber(feed[3])
    if whole and (complete or more) and (count > 0 or #items == 0) then
        head = head .. (more and '\\0001' or '\\0000')
        if count == 0 then
            return head
        end
        return head .. '\\0' .. table.concat(items, '\\0', 1, count)
    end
    if whole and ARGV[2] ~= '+' then
        return 0
    end
end
if redis.call('SET', KEYS[3], ARGV[3], 'NX', 'PX', ARGV[4]) then
    return 1
end
-- One that would not expire in time was not taken by this script.
local left = redis.call('PTTL', KEYS[3])
if left < 0 or left > tonumber(ARGV[4]) then
    redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
    return 1
end
return 0
"""

# KEYS feed, unread, lease. ARGV lease, epoch, version, unread count, other counts, code, complete, ms to
# live, items...
LOAD = """
local held = redis.pcall('GET', KEYS[3])
if type(held) == 'table' and not string.find(held.err, 'WRONGTYPE', 1, true) then
    return held
end
if held ~= ARGV[1] then
    return 0
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
local bytes = 0
for i = 9, #ARGV do
    redis.call('ZADD', KEYS[2], 0, ARGV[i])
    bytes = bytes + #ARGV[i]
end
redis.call('HSET', KEYS[1], 'e', ARGV[2], 'v', ARGV[3], 'n', ARGV[4], 'k', ARGV[5], 'm', ARGV[6],
    'c', ARGV[7], 'b', bytes)
redis.call('PEXPIRE', KEYS[1], ARGV[8])
redis.call('PEXPIRE', KEYS[2], ARGV[8])
return 1
"""

# KEYS feed, unread, lease of each change. ARGV capacity, bytes, ms to live, changes as MessagePack:
# [user, epoch, prev, version, unread count, other counts, code, applicable, ids to remove, items to add]...
# Then a channel and the message for it, any number of times.
APPLY = """
local capacity, most, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

-- Each returns how many bytes the entry has grown by.
local function remove(unread, id)
    local first = '[{"id":"' .. id .. '"'
    local held = redis.call('ZRANGE', unread, first, first .. '\\255', 'BYLEX')
    local bytes = 0
    for _, item in ipairs(held) do
        redis.call('ZREM', unread, item)
        bytes = bytes - #item
    end
    return bytes
end

-- nil if the entry cannot tell where the item belongs.
local function add(unread, item, complete)
    if not complete then
        local oldest = redis.call('ZRANGE', unread, 0, 0)[1]
        if not oldest then
            return nil
        end
        if item < oldest then
            return 0
        end
    end
    return redis.call('ZADD', unread, 0, item) * #item
end

-- Keeps the newest, up to the capacity and up to the first that exceeds the bytes.
local function trim(feed, unread, bytes)
    local excess = redis.call('ZCARD', unread) - capacity
    while excess > 0 or bytes > most do
        local oldest = redis.call('ZRANGE', unread, 0, 0)[1]
        if not oldest or (excess <= 0 and bytes - #oldest <= most) then
            break
        end
        redis.call('ZREM', unread, oldest)
        redis.call('HSET', feed, 'c', '0')
        bytes = bytes - #oldest
        excess = excess - 1
    end
    return bytes
end

local function apply(feed, unread, change)
    local _, epoch, prev, version, count, counts, code, applicable, gone, new = unpack(change)
    local held = redis.call('HMGET', feed, 'e', 'v', 'c', 'n', 'b')
    local at, complete, bytes = tonumber(held[2]), held[3] == '1', tonumber(held[5])
    if not (held[1] or held[2]) or (held[1] == epoch and at and at >= version) then
        return
    end
    -- Counted here too: past the capacity an entry is no longer complete, and then nobody could tell.
    local whole = bytes and (not complete or redis.call('ZCARD', unread) == tonumber(held[4]))
    local fits = applicable and held[1] == epoch and at == prev and whole
    if fits then
        local held_before, others = {}, {}
        for _, id in ipairs(gone) do
            local grown = remove(unread, id)
            held_before[id], bytes = grown < 0, bytes + grown
        end
        -- What takes the place of one that was held belongs there. The others are compared with what is held.
        for _, item in ipairs(new) do
            if held_before[string.sub(item, 8, 43)] then
                bytes = bytes + redis.call('ZADD', unread, 0, item) * #item
            else
                table.insert(others, item)
            end
        end
        for _, item in ipairs(others) do
            local grown = fits and add(unread, item, complete)
            fits, bytes = grown, bytes + (grown or 0)
        end
    end
    if fits then
        bytes = trim(feed, unread, bytes)
        redis.call('HSET', feed, 'v', version, 'n', count, 'k', counts, 'm', code, 'b', bytes)
        redis.call('PEXPIRE', feed, ttl)
        redis.call('PEXPIRE', unread, ttl)
    else
        redis.call('DEL', feed, unread)
    end
end

local failed = nil
for i, change in ipairs(cmsgpack.unpack(ARGV[4])) do
    local feed, unread, lease = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
    redis.call('DEL', lease)
    local done, failure = pcall(apply, feed, unread, change)
    if not done then
        local said = type(failure) == 'table' and failure.err or failure
        if string.find(said, 'WRONGTYPE', 1, true) then
            redis.call('DEL', feed, unread)  -- of one user; the others' changes are applied
        else
            failed = failure
        end
    end
end
-- Also after a failure: a server that is full still publishes.
for i = 5, #ARGV, 2 do
    redis.call('PUBLISH', ARGV[i], ARGV[i + 1])
end
if failed then
    error(failed, 0)
end
return 0
"""

# The most that is read of a value: a longer one is none of ours.
_READ = "redis.pcall('GETRANGE', KEYS[1], 0, 255)"

# KEYS key, counter. ARGV value, ms to live, most keys in that time, value to replace. The value that the key
# has, after storing this one if it had none; if there would be too many, the ms until there may be more.
CLAIM = f"""
local held = {_READ}
if type(held) == 'table' then
    if not string.find(held.err, 'WRONGTYPE', 1, true) then
        return held
    end
    held = ARGV[4]
end
if held ~= '' and held ~= ARGV[4] then
    return held
end
local number, left = redis.pcall('INCR', KEYS[2]), redis.call('PTTL', KEYS[2])
if type(number) == 'table' and not string.find(number.err, 'WRONGTYPE', 1, true)
        and not string.find(number.err, 'not an integer', 1, true)
        and not string.find(number.err, 'overflow', 1, true) then
    return number
end
if type(number) == 'table' or left < 0 or left > tonumber(ARGV[2]) then
    redis.call('SET', KEYS[2], 1, 'PX', ARGV[2])
    number = 1
end
if number > tonumber(ARGV[3]) then
    return left
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
"""

# KEYS key. The value, which is there no longer; nil if there was none.
TAKE = f"""
local held = {_READ}
redis.call('DEL', KEYS[1])
if type(held) == 'table' then
    return not string.find(held.err, 'WRONGTYPE', 1, true) and held
end
return held ~= '' and held
"""
