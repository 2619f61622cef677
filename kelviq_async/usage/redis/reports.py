"""What a journal in Redis has done by the server about reports and their owners: one script for each step."""

from __future__ import annotations

from typing import Final

from . import lua
from .lua import Script

CLAIM: Final = Script.of(
    lua.REPORTS,
    """
local me, HALF = ARGV[1], 67108864
must(root .. 'held:' .. me, 'set')
grouped()
local runs = {}
for i = 3, #ARGV do
  local run = cmsgpack.unpack(ARGV[i])
  local rid, key = run[1], run[2]
  must(root .. 'report:' .. rid, 'hash') must(root .. 'records:' .. rid, 'zset')
  must(root .. 'pending:' .. key, 'zset') must(root .. 'sent:' .. key, 'zset')
  runs[#runs + 1] = run
end
beat(me, ARGV[2])

-- exact also where the sum is not, in the numbers that scripts have
local function adds_up(taken, high, low)
  local h, l = 0, 0
  for i = 1, #taken, 2 do
    local value = tonumber(string.match(taken[i], '^%S+'))
    local half = math.floor(value / HALF)
    h, l = h + half, l + (value - half * HALF)
  end
  local over = math.floor(l / HALF)
  return h + over == high and l - over * HALF == low
end

local function claimed(run)
  local rid, key, behaviour, value, high, low, n, first, last = unpack(run, 1, 9)
  local report, pending = root .. 'report:' .. rid, root .. 'pending:' .. key
  if redis.call('EXISTS', report) == 1 then
    -- asked for before, and the answer was not heard
    local is = redis.call('HMGET', report, 'state', 'owner')
    return is[1] == 'in_flight' and is[2] == me
  end
  if n < 1 or redis.call('HEXISTS', flying, key) == 1 then return false end
  if redis.call('ZCOUNT', pending, '-inf', text(last)) ~= n then return false end
  local taken = redis.call('ZRANGE', pending, 0, n - 1, 'WITHSCORES')
  if tonumber(taken[2]) ~= first or tonumber(taken[2 * n]) ~= last then return false end
  if not adds_up(taken, high, low) then return false end
  local places, names = split(taken)
  each({'XCLAIM', stream, GROUP, me, 0}, places, {'FORCE', 'JUSTID'})
  redis.call('ZRANGESTORE', root .. 'records:' .. rid, pending, 0, n - 1)
  redis.call('ZREMRANGEBYRANK', pending, 0, n - 1)
  told(names, rid)
  head(key)
  has.seq = has.seq + 1
  redis.call('HSET', report, 'key', key, 'behaviour', behaviour, 'value', value, 'records', text(n),
    'state', 'in_flight', 'first_at', run[10], 'last_at', run[11], 'claimed_at', now, 'reset_at', run[12],
    'owner', me, 'seq', text(has.seq), 'last', text(last), 'reason', '', 'note', '', 'late', '0')
  redis.call('ZADD', root .. 'in_flight', has.seq, rid)
  redis.call('ZADD', root .. 'sent:' .. key, text(last), rid)
  redis.call('SADD', root .. 'held:' .. me, rid)
  redis.call('HSET', flying, key, rid)
  has.pending = has.pending - n
  has.in_flight = has.in_flight + n
  return true
end

local rids = {}
for _, run in ipairs(runs) do
  if claimed(run) then rids[#rids + 1] = run[1] end
end
save()
return bundled(rids)
""",
)

MOVE: Final = Script.of(
    lua.REPORTS,
    """
local rid, state, among, reason, note, late, by = unpack(ARGV)
local report = load(rid)
if not report then return false end
if report.by == by then return cmsgpack.pack({shown(rid)}) end
local allowed = false
for word in string.gmatch(among, '%S+') do allowed = allowed or word == report.state end
if not allowed then return false end
sound(report)
grouped()
if string.sub(note, 1, 1) == '=' then note = string.sub(note, 2) else note = nil end
settle(report, state, reason, note, late, by)
save()
return cmsgpack.pack({shown(rid)})
""",
)

LAPSE: Final = Script.of(
    lua.REPORTS,
    """
local owner, beaten, reason, by = unpack(ARGV)
local held, answer = root .. 'held:' .. owner, root .. 'answer:' .. by
must(held, 'set') must(answer, 'string')
local put = redis.call('GET', answer)
if put then
  put = cmsgpack.unpack(put)
elseif redis.call('HGET', beats, owner) ~= beaten then
  return {}
else
  local reports = {}
  put = {}
  for _, rid in ipairs(redis.call('SMEMBERS', held)) do
    local report = load(rid)
    if report and report.state == 'in_flight' and report.owner == owner then
      sound(report)
      reports[#reports + 1] = report
    end
  end
  grouped()
  table.sort(reports, function(one, other) return tonumber(one.seq) < tonumber(other.seq) end)
  redis.call('HDEL', owners, owner)
  redis.call('HDEL', beats, owner)
  for _, report in ipairs(reports) do
    settle(report, report.behaviour == 'DELTA' and 'unresolved' or 'pending', reason, nil, '', by)
    put[#put + 1] = report.id
  end
  redis.call('DEL', held)
  redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, owner)
  redis.call('SET', answer, cmsgpack.pack(put), 'EX', KEPT)
  save()
end
return bundled(put)
""",
)

BEAT: Final = Script.of(lua.REPORTS, "beat(ARGV[1], ARGV[2]) return 1")

LEAVE: Final = Script.of(
    lua.REPORTS,
    """
must(root .. 'held:' .. ARGV[1], 'set')
grouped()
-- what it has in flight nevertheless is only found by others while it is known
if redis.call('SCARD', root .. 'held:' .. ARGV[1]) > 0 then return 0 end
redis.call('HDEL', owners, ARGV[1])
redis.call('HDEL', beats, ARGV[1])
redis.call('XGROUP', 'DELCONSUMER', stream, GROUP, ARGV[1])
return 1
""",
)

OWNERS: Final = Script.of(
    lua.REPORTS,
    """
local found = {clock[1], clock[2]}
local known = redis.call('HGETALL', owners)
for i = 1, #known, 2 do
  local beaten = redis.call('HGET', beats, known[i])
  if beaten then
    found[#found + 1] = known[i + 1]
    found[#found + 1] = beaten
  end
end
return found
""",
)

LIST: Final = Script.of(
    lua.REPORTS,
    """
local found = redis.call('ZRANGEBYSCORE', root .. ARGV[1], ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])
for _, rid in ipairs(found) do must(root .. 'report:' .. rid, 'hash') end
return bundled(found)
""",
)

FIND: Final = Script.of(
    lua.REPORTS,
    """
local rid = redis.call('HGET', ids, ARGV[1])
if not rid or rid == '' then rid = ARGV[1] end
local report = load(rid)
if not report or report.state == 'pending' then return false end
return cmsgpack.pack({shown(rid)})
""",
)

OVERTAKEN: Final = Script.of(
    lua.REPORTS,
    """
local report = load(ARGV[1])
if not report or report.state == 'pending' then return 0 end
must(root .. 'sent:' .. report.key, 'zset') must(root .. 'folded', 'hash')
local folded = tonumber(redis.call('HGET', root .. 'folded', report.key) or '')
if folded and folded > tonumber(report.last) then return 1 end
local newest = redis.call('ZRANGE', root .. 'sent:' .. report.key, -1, -1, 'WITHSCORES')
return newest[2] and tonumber(newest[2]) > tonumber(report.last) and 1 or 0
""",
)

FOLD: Final = Script.of(
    lua.REPORTS,
    """
local before, by = unpack(ARGV)
local answer = root .. 'answer:' .. by
must(answer, 'string') must(root .. 'folded', 'hash')
local folded = tonumber(redis.call('GET', answer) or '')
if folded then return folded end
local reports = {}
folded = 0
for _, rid in ipairs(redis.call('ZRANGEBYSCORE', ended, '-inf', before, 'LIMIT', 0, 200)) do
  local report = load(rid) or {id = rid, state = 'delivered', records = '0'}
  report.n = tonumber(report.records or '')
  if not report.n or not OVER[report.state] then error('KELVIQ-POISONED') end
  if report.key then must(root .. 'sent:' .. report.key, 'zset') end
  reports[#reports + 1] = report
  folded = folded + report.n
  if folded > 2000 then break end
end
if #reports == 0 then return 0 end
-- of what was folded, a key's newest is remembered as long as anything of the key may be sent again
local open = redis.call('EXISTS', root .. 'rejected', root .. 'unresolved') > 0
local function there(key)
  return open or redis.call('EXISTS', root .. 'pending:' .. key, root .. 'sent:' .. key) > 0
end
for _, report in ipairs(reports) do
  local hash = root .. 'report:' .. report.id
  local names = redis.call('HGET', hash, 'ids')
  if names then each({'HDEL', ids}, cmsgpack.unpack(names)) end
  if report.key then
    redis.call('ZREM', root .. 'sent:' .. report.key, report.id)
    local last = tonumber(redis.call('HGET', root .. 'folded', report.key) or '') or 0
    if there(report.key) and report.state == 'delivered' and tonumber(report.last) > last then
      redis.call('HSET', root .. 'folded', report.key, report.last)
    end
  end
  redis.call('DEL', hash)
  redis.call('ZREM', root .. report.state, report.id)
  redis.call('ZREM', ended, report.id)
end
if not open then
  local known = redis.call('HSCAN', root .. 'folded', '0', 'COUNT', 200)[2]
  for i = 1, #known, 2 do
    if not there(known[i]) then redis.call('HDEL', root .. 'folded', known[i]) end
  end
end
redis.call('SET', answer, folded, 'EX', KEPT)
return folded
""",
)
