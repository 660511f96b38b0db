"""What happens inside Redis, each all or nothing: no reader ever sees half an entry, and the books always agree.

A tenant's books, all on its slot:

    sum     bytes, seq (microseconds, only grows), used (the latest use, only grows)
    use     ref → when it was last used, and more the more it saves: the lowest makes room first
    exp     ref → when it expires
    new     ref → seq, in the order of coming
    book    ref → "size bonus scope" (scope "-": none), since Redis may drop an entry by itself
    scopes  scope → how many entries it has, with a vector or pending

A script begins with `#!lua`, so that Redis refuses it whole, and not in its midst, when memory is full or the server
is a replica (https://redis.io/docs/latest/develop/programmability/lua-api/). Removing is allowed when memory is full.
Each returns what it told the channel first, "" if nothing.
"""

from __future__ import annotations

_COMMON = """
local sum, use, exp, new, book, scopes = unpack(KEYS)
local entries, waiting, channel, origin, tenant = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local now, limit = tonumber(ARGV[6]), tonumber(ARGV[7])
local at = 8
local changed, moved = {}, {}

local function take() at = at + 1; return ARGV[at - 1] end

local function tick()
  local time = redis.call('TIME')
  local seq = math.max(tonumber(redis.call('HGET', sum, 'seq') or '0') + 1, time[1] * 1000000 + time[2])
  seq = string.format('%.0f', seq)
  redis.call('HSET', sum, 'seq', seq)
  return seq
end

local function entry(ref)  -- nil where there is none, or something that is no hash
  local found = redis.pcall('HGETALL', entries .. ref)
  if found.err or #found == 0 then return nil end
  local fields = {}
  for i = 1, #found, 2 do fields[found[i]] = found[i + 1] end
  return fields, found
end

local function booked(ref)
  local line = redis.call('HGET', book, ref)
  if not line then return nil end
  local size, bonus, scope = string.match(line, '^(%S+) (%S+) (%S+)$')
  return size, bonus, scope
end

local function resize(ref, size, bonus, scope, before)
  redis.call('HSET', book, ref, size .. ' ' .. bonus .. ' ' .. scope)
  redis.call('HINCRBY', sum, 'bytes', string.format('%.0f', size - before))
end

local function leave(ref, scope)
  if scope == '-' then return end
  redis.call('ZREM', waiting .. scope, ref)
  if redis.call('HINCRBY', scopes, scope, -1) <= 0 then redis.call('HDEL', scopes, scope) end
  moved[scope] = true
end

local function remove(ref)
  local size, _, scope = booked(ref)
  if size then
    redis.call('HINCRBY', sum, 'bytes', '-' .. size)
    redis.call('HDEL', book, ref)
    redis.call('ZREM', use, ref)
    redis.call('ZREM', exp, ref)
    redis.call('ZREM', new, ref)
    leave(ref, scope)
  end
  local digest = redis.pcall('HGET', entries .. ref, 'd')
  redis.call('DEL', entries .. ref)
  if type(digest) == 'string' then changed[#changed + 1] = digest end
end

local function purge()
  for _, ref in ipairs(redis.call('ZRANGEBYSCORE', exp, '-inf', ARGV[6], 'LIMIT', 0, 1000)) do remove(ref) end
end

local function used(ref, bonus)
  local latest = math.max(now, tonumber(redis.call('HGET', sum, 'used') or '0') + 0.000001)
  redis.call('HSET', sum, 'used', string.format('%.6f', latest))
  redis.call('ZADD', use, string.format('%.6f', latest + bonus), ref)
end

local function touch_all(count)
  for _ = 1, count do
    local ref = take()
    local _, bonus = booked(ref)
    if bonus then used(ref, bonus) end
  end
end

local function make_room(kept, limit)
  for _ = 1, 1000 do  -- the next writes see to the rest: nobody waits for long
    if tonumber(redis.call('HGET', sum, 'bytes') or '0') <= limit then break end
    local first = redis.call('ZRANGE', use, 0, 1)
    local ref = first[1]
    if ref == kept then ref = first[2] end
    if not ref then break end
    remove(ref)
  end
end

local function tell()
  local states = {}
  for scope in pairs(moved) do
    states[#states + 1] = {scope, redis.call('HEXISTS', scopes, scope), redis.call('EXISTS', waiting .. scope)}
  end
  if #changed + #states == 0 then return '' end
  local told = cjson.encode({o = origin, t = tenant, n = tick(), c = changed, s = states})
  redis.call('PUBLISH', channel, told)
  return told
end
"""

_WRITES = "#!lua\n" + _COMMON
_REMOVES = "#!lua flags=allow-oom\n" + _COMMON

PUT = (
    _WRITES
    + """
touch_all(tonumber(take()))
local ref, size, bonus, ttl_ms, expires, scope, is_pending = take(), take(), take(), take(), take(), take(), take()
purge()
remove(ref)
if tonumber(size) > limit or tonumber(ttl_ms) <= 0 then return {tell(), 0} end
local seq = tick()
redis.call('HSET', entries .. ref, 'q', seq, unpack(ARGV, at))
redis.call('PEXPIRE', entries .. ref, ttl_ms)
resize(ref, tonumber(size), bonus, scope, 0)
redis.call('ZADD', exp, expires, ref)
redis.call('ZADD', new, seq, ref)
used(ref, bonus)
if scope ~= '-' then
  redis.call('HINCRBY', scopes, scope, 1)
  if is_pending == '1' then redis.call('ZADD', waiting .. scope, seq, ref) end
  moved[scope] = true
end
make_room(ref, limit)
return {tell(), 1}
"""
)
"""count, touched refs…, ref, size, bonus, ttl_ms, expires, scope, is_pending, fields and values… → told, was kept"""

TOUCH = (
    _WRITES
    + """
touch_all(tonumber(take()))
return {''}
"""
)
"""count, refs… → ''"""

ADD_VECTORS = (
    _WRITES
    + """
touch_all(tonumber(take()))
local field, ours = take(), take()

local function is_read(found)  -- by this embedder
  for name in pairs(found) do
    if string.sub(name, 1, #ours) == ours then return true end
  end
  return false
end

while at <= #ARGV do
  local ref, scope, text, grown, vector = take(), take(), take(), take(), take()
  local found = entry(ref)
  local size, bonus = booked(ref)
  if found and size and text ~= '' and found.s == scope and found.t == text and tonumber(found.x) > now
    and not is_read(found) then
    redis.call('HSET', entries .. ref, field, vector)
    redis.call('HDEL', entries .. ref, 'w')
    redis.call('ZREM', waiting .. scope, ref)
    moved[scope] = true
    resize(ref, size + grown, bonus, scope, size)
  end
end
make_room('', limit)
return {tell()}
"""
)
"""count, touched refs…, field, its beginning, (ref, scope, text, grown bytes, vector)… → told"""

PENDING = (
    _REMOVES
    + """
local scope, count = take(), tonumber(take())
purge()
local found = {}
for _, ref in ipairs(redis.call('ZREVRANGE', waiting .. scope, 0, count + 99)) do
  if #found >= count then break end
  local fields, flat = entry(ref)
  if not fields then remove(ref) elseif tonumber(fields.x) > now then found[#found + 1] = flat end
end
moved[scope] = true
return {tell(), unpack(found)}
"""
)
"""scope, count → told, fields and values of each"""

PURGE = (
    _REMOVES
    + """
purge()
return {tell(), redis.call('ZCARD', exp), redis.call('HGET', sum, 'bytes') or '0'}
"""
)
"""→ told, how many entries there are, and their bytes"""

DELETE = (
    _REMOVES
    + """
local ref = take()
purge()
local fields, flat = entry(ref)
remove(ref)
if not fields or tonumber(fields.x) <= now then flat = {} end
return {tell(), flat}
"""
)
"""ref → told, fields and values, none where there was no entry"""

WITHDRAW = (
    _REMOVES
    + """
local ref = take()
purge()
local fields = entry(ref)
if not fields or tonumber(fields.x) <= now then return {tell(), {}} end
local size, bonus, scope = booked(ref)
if size then
  leave(ref, scope)
  resize(ref, tonumber(fields.z), bonus, '-', size)
end
for field in pairs(fields) do
  if string.sub(field, 1, 2) == 'v_' then redis.call('HDEL', entries .. ref, field) end
end
redis.call('HDEL', entries .. ref, 'S', 's', 'w')
changed[#changed + 1] = fields.d
return {tell(), redis.call('HGETALL', entries .. ref)}
"""
)
"""ref → told, fields and values, none where there was no entry"""

MAKE_ROOM = (
    _REMOVES
    + """
purge()
local bytes = tonumber(redis.call('HGET', sum, 'bytes') or '0')
make_room('', math.max(0, bytes - tonumber(take())))
return {tell()}
"""
)
"""bytes → told. For a server whose memory is full while the tenant is within its budget."""

TEXTS = """#!lua flags=no-writes
local found = {}
for _, ref in ipairs(redis.call('ZREVRANGE', KEYS[1], ARGV[2], ARGV[3])) do
  local fields = redis.pcall('HMGET', ARGV[1] .. ref, 't', 'x')
  if not fields.err and fields[1] and fields[2] then found[#found + 1] = {ref, fields[1], fields[2]} end
end
return {redis.call('ZCARD', KEYS[1]), found}
"""
"""KEYS: new; ARGV: entries, first, last → how many there are, and (ref, text, expires)…, the newest first"""

PAGE = """#!lua flags=no-writes
local found, last = {}, ''
local refs = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[2], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #refs, 2 do
  local fields = redis.pcall('HGETALL', ARGV[1] .. refs[i])
  if not fields.err and #fields > 0 then found[#found + 1] = fields end
  last = string.format('%.0f', refs[i + 1])
end
return {#refs / 2, last, found}
"""
"""KEYS: new; ARGV: entries, the least seq, limit → how many there were, the last seq, fields and values of each"""

SET_STATE = """#!lua flags=allow-oom
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', (tonumber(version) or 0) + 1, 'value', ARGV[2])
return 1
"""
"""KEYS: state; ARGV: the expected version ("": none), value → whether it was set"""

CLAIM = """#!lua
if redis.call('EXISTS', KEYS[2]) == 1 then return 'stored' end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'taken' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'granted'
"""
"""KEYS: lease, entry; ARGV: token, for how many ms → whether it is ours, or why not"""

RENEW = """#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""KEYS: lease; ARGV: token, for how many ms → whether it was still ours"""

RELEASE = """#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""
"""KEYS: lease; ARGV: token, channel, what to tell there → whether it was still ours"""
