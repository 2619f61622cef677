"""What a journal in Redis has done by the server about records: one script for each step."""

from __future__ import annotations

from typing import Final

from .lua import BOOKS, NAMES, Script

# With a scope it is put there, unless there is another one than was read; either way, what is there then.
OPEN: Final = Script.of(
    NAMES,
    """
must(meta, 'hash')
local there = redis.call('HMGET', meta, 'version', 'environment', 'host', 'account')
if #ARGV == 0 or there[1] and ARGV[5] ~= there[4] then return there end
if there[1] then
  redis.call('HSET', meta, 'account', ARGV[4])
else
  -- what was left by a journal that lost its books cannot be added to
  if redis.call('EXISTS', stream, ids, heads) > 0 then error('KELVIQ-POISONED') end
  redis.call('HSET', meta, 'version', ARGV[1], 'environment', ARGV[2], 'host', ARGV[3], 'account', ARGV[4],
    'place', 0, 'seq', 0, 'accepted', 0, 'pending', 0, 'in_flight', 0, 'delivered', 0, 'rejected', 0,
    'unresolved', 0, 'discarded', 0, 'late', 0)
end
redis.pcall('XGROUP', 'CREATE', stream, GROUP, 0, 'MKSTREAM')
return redis.call('HMGET', meta, 'version', 'environment', 'host', 'account')
""",
)

# Whether all that scripts write with is allowed: to be stopped half way is what no script can bear.
ALLOWED: Final = Script.of(
    NAMES,
    """
local probe, problem = root .. 'probe', nil
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then problem = problem or answer end
end
redis.call('DEL', probe)
try('HSET', probe, 'a', 'b') try('HDEL', probe, 'a')
try('ZADD', probe, 1, 'a') try('ZRANGESTORE', probe, probe, 0, 0) try('EXPIRE', probe, 60)
try('ZREMRANGEBYRANK', probe, 1, 1) try('ZREM', probe, 'a')
try('SADD', probe, 'a') try('SREM', probe, 'a')
try('SET', probe, 'a', 'EX', 60) try('DEL', probe)
try('XADD', probe, '1-0', 'a', 'b') try('XGROUP', 'CREATE', probe, GROUP, 0)
try('XCLAIM', probe, GROUP, 'a', 0, '1-0', 'FORCE', 'JUSTID') try('XPENDING', probe, GROUP)
try('XACK', probe, GROUP, '1-0') try('XDEL', probe, '1-0') try('XGROUP', 'DELCONSUMER', probe, GROUP, 'a')
try('DEL', probe)
return problem or 1
""",
)

APPEND: Final = Script.of(
    BOOKS,
    """
local all, named = {}, {}
for _, blob in ipairs(ARGV) do
  local flat = cmsgpack.unpack(blob)
  for i = 1, #flat, 3 do
    if not named[flat[i]] then
      named[flat[i]] = true
      all[#all + 1] = {flat[i], flat[i + 1], flat[i + 2]}
    end
  end
end
local fresh, keys, members = {}, {}, {}
for i = 1, #all, PAGE do
  local names = {}
  for j = i, math.min(i + PAGE - 1, #all) do names[#names + 1] = all[j][1] end
  for j, found in ipairs(redis.call('HMGET', ids, unpack(names))) do
    if not found then
      local record = all[i + j - 1]
      fresh[#fresh + 1] = record
      if not members[record[2]] then
        members[record[2]] = {}
        keys[#keys + 1] = record[2]
        must(root .. 'pending:' .. record[2], 'zset')
      end
    end
  end
end
if #fresh == 0 then return 0 end
local new, place = {}, has.place
for _, record in ipairs(fresh) do
  place = place + 1
  local at = text(place)
  redis.call('XADD', stream, at .. '-0', 'key', record[2], 'record', record[3])
  local list = members[record[2]]
  list[#list + 1] = at
  list[#list + 1] = record[3]
  new[#new + 1] = record[1]
  new[#new + 1] = ''
end
each({'HSET', ids}, new)
for _, key in ipairs(keys) do
  local pending = root .. 'pending:' .. key
  local first = redis.call('EXISTS', pending) == 0
  each({'ZADD', pending}, members[key])
  if first then head(key) end
end
has.place = place
has.accepted = has.accepted + #fresh
has.pending = has.pending + #fresh
save()
return #fresh
""",
)

WAITING: Final = Script.of(
    BOOKS,
    """
local limit, skip = tonumber(ARGV[1]), {}
for _, key in ipairs(cmsgpack.unpack(ARGV[2])) do skip[key] = true end
local keys, part, parts, found = {}, {}, {}, 0

-- sources by the place of their next record, in a heap; a source holds a page of its key's records
local heap, size = {}, 0

local function sink(i)
  local top = heap[i]
  while true do
    local child = 2 * i
    if child > size then break end
    if child < size and heap[child + 1].place < heap[child].place then child = child + 1 end
    if heap[child].place >= top.place then break end
    heap[i] = heap[child]
    i = child
  end
  heap[i] = top
end

local function rise(source)
  size = size + 1
  local i = size
  while i > 1 do
    local parent = math.floor(i / 2)
    if heap[parent].place <= source.place then break end
    heap[i] = heap[parent]
    i = parent
  end
  heap[i] = source
end

local function turn(source)
  local many = math.min(source.pages, limit - found)
  if many < 1 then return false end
  source.page = redis.call('ZRANGE', source.pending, source.rank, source.rank + many - 1, 'WITHSCORES')
  source.rank, source.next, source.pages = source.rank + many, 1, math.min(source.pages * 4, PAGE)
  return #source.page > 0
end

local ahead, upcoming, listed = {}, 1, 0

-- the next key in the order of their oldest records, or nil
local function peek()
  while true do
    if upcoming > #ahead then
      ahead = redis.call('ZRANGE', heads, listed, listed + PAGE - 1, 'WITHSCORES')
      upcoming, listed = 1, listed + PAGE
      if #ahead == 0 then return nil end
    end
    local key = ahead[upcoming]
    if not skip[key] and redis.call('HEXISTS', flying, key) == 0 then
      return key, tonumber(ahead[upcoming + 1])
    end
    upcoming = upcoming + 2
  end
end

local key, place = peek()
while found < limit and (key or size > 0) do
  while key and (size == 0 or place < heap[1].place) do
    must(root .. 'pending:' .. key, 'zset')
    keys[#keys + 1] = key
    local source = {place = place, pending = root .. 'pending:' .. key, rank = 0, pages = 4}
    source.number = #keys - 1
    if turn(source) then rise(source) end
    upcoming = upcoming + 2
    key, place = peek()
  end
  local source = heap[1]
  if not source then break end
  local until_ = place or math.huge
  if size > 1 then until_ = math.min(until_, heap[2].place) end
  if size > 2 then until_ = math.min(until_, heap[3].place) end
  local page, i, number = source.page, source.next, source.number
  repeat
    part[#part + 1] = source.place
    part[#part + 1] = number
    part[#part + 1] = page[i]
    found = found + 1
    if #part >= 600 then
      parts[#parts + 1] = cmsgpack.pack(part)
      part = {}
    end
    i = i + 2
    if i > #page then
      source.next = i
      if not turn(source) then source.place = nil break end
      page, i = source.page, 1
    end
    source.place = tonumber(page[i + 1])
  until found >= limit or source.place > until_
  source.next = i
  if source.place then sink(1) else
    heap[1] = heap[size]
    heap[size] = nil
    size = size - 1
    if size > 0 then sink(1) end
  end
end
if #part > 0 then parts[#parts + 1] = cmsgpack.pack(part) end
return {cmsgpack.pack(keys), unpack(parts)}
""",
)

LEDGER: Final = Script.of(
    BOOKS,
    """
local oldest = redis.call('ZRANGE', ages, 0, 0, 'WITHSCORES')
local found = {oldest[2] or ''}
for i = 4, #COUNTS do
  found[#found + 1] = COUNTS[i]
  found[#found + 1] = text(has[COUNTS[i]])
end
return found
""",
)
