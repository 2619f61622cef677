"""What the scripts of a journal in Redis have in common.

A script that fails half way is not undone. So each looks at all it needs before its first write, and from
there on nothing can fail. Its first write is a command that a server without memory accepts, where the
step is one that leads to memory being given back: a journal must be emptied to become smaller.

Of a record the index keeps its text, ``value behaviour recorded_at reset_at id``, with ``-`` for no
moment; the id is last, for it may hold anything.
"""

from __future__ import annotations

import hashlib
from typing import Final

import attrs

VERSION: Final = 1
"""Of how the data is laid out. A journal of a newer one is refused."""
KEPT: Final = 600
"""Seconds for which the answer to a step is kept, for those that ask again since they did not hear it."""

GONE: Final = "KELVIQ-GONE"
NEWER: Final = "KELVIQ-NEWER"
POISONED: Final = "KELVIQ-POISONED"

FIELDS: Final = (
    *("key", "behaviour", "value", "records", "state", "first_at", "last_at", "claimed_at", "ended_at"),
    *("reason", "note", "late", "reset_at", "owner", "seq", "last", "by"),
)
"""What is kept of a report, in the order in which rows hold it."""


@attrs.frozen
class Script:
    """A script, and the name under which a server that has seen it knows it."""

    text: str
    sha: str

    @classmethod
    def of(cls, *parts: str) -> Script:
        """A script from its parts."""
        text = "\n".join(parts)
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


NAMES: Final = """
local root = string.sub(KEYS[1], 1, -8)
local meta, stream, ids = KEYS[1], root .. 'stream', root .. 'ids'
local heads, ages, flying = root .. 'heads', root .. 'ages', root .. 'flying'
local owners, beats, ended = root .. 'owners', root .. 'beats', root .. 'ended'
local GROUP, PAGE = 'senders', 500

local function must(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then error('KELVIQ-POISONED') end
end
"""

BOOKS: Final = (
    NAMES
    + f"""
local COUNTS = {{'version', 'place', 'seq', 'accepted', 'pending', 'in_flight', 'delivered', 'rejected',
  'unresolved', 'discarded', 'late'}}
local has = {{}}
must(meta, 'hash')
do
  local found = redis.call('HMGET', meta, unpack(COUNTS))
  if not found[1] then error('KELVIQ-GONE') end
  for i, name in ipairs(COUNTS) do
    local n = tonumber(found[i] or '')
    if n == nil or n ~= math.floor(n) or n < 0 or n >= 2 ^ 53 then error('KELVIQ-POISONED') end
    has[name] = n
  end
  if has.version > {VERSION} then error('KELVIQ-NEWER') end
end
"""
    + """
must(ids, 'hash') must(stream, 'stream') must(heads, 'zset') must(ages, 'zset') must(flying, 'hash')

local function text(number) return string.format('%.0f', number) end

local function save()
  local pairs_ = {}
  for _, name in ipairs(COUNTS) do
    pairs_[#pairs_ + 1] = name
    pairs_[#pairs_ + 1] = text(has[name])
  end
  redis.call('HSET', meta, unpack(pairs_))
end

-- a command over a list of any length, with what belongs before and after a part of it
local function each(before, list, after)
  for i = 1, #list, 2 * PAGE do
    local words = {unpack(before)}
    for j = i, math.min(i + 2 * PAGE - 1, #list) do words[#words + 1] = list[j] end
    for _, word in ipairs(after or {}) do words[#words + 1] = word end
    redis.call(unpack(words))
  end
end

-- the oldest pending record of a key stands for it
local function head(key)
  local first = redis.call('ZRANGE', root .. 'pending:' .. key, 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', heads, first[2], key)
    redis.call('ZADD', ages, string.match(first[1], '^%S+ %S+ (%S+)'), key)
  else
    redis.call('ZREM', heads, key)
    redis.call('ZREM', ages, key)
  end
end
"""
)

_FIELD_NAMES: Final = ", ".join(f"'{name}'" for name in FIELDS)

REPORTS: Final = (
    BOOKS
    + f"local FIELDS, KEPT = {{{_FIELD_NAMES}}}, {KEPT}\n"
    + """
local SENT = {in_flight = true, delivered = true, unresolved = true}
local LATE = {delivered = true, unresolved = true}
local OVER = {delivered = true, discarded = true}
for state in pairs({in_flight = 1, delivered = 1, rejected = 1, unresolved = 1, discarded = 1}) do
  must(root .. state, 'zset')
end
must(owners, 'hash') must(beats, 'hash') must(ended, 'zset')

local clock = redis.call('TIME')
local now = string.format('%d.%06d', clock[1], clock[2])

local function row(rid)
  return redis.call('HMGET', root .. 'report:' .. rid, unpack(FIELDS))
end

local function load(rid)
  must(root .. 'report:' .. rid, 'hash')
  local values, report = row(rid), {id = rid}
  if not values[1] then return nil end
  for i, name in ipairs(FIELDS) do report[name] = values[i] end
  return report
end

local function shown(rid)
  local values = row(rid)
  values[#values + 1] = rid
  return values
end

-- rows in few pieces: what reads answers is slow with many
local function bundled(rids)
  local bundles, rows = {}, {}
  for i, rid in ipairs(rids) do
    rows[#rows + 1] = shown(rid)
    if #rows == 50 or i == #rids then
      bundles[#bundles + 1] = cmsgpack.pack(rows)
      rows = {}
    end
  end
  return bundles
end

local function grouped()
  -- who removed the group by hand is told so before anything is written
  redis.call('XPENDING', stream, GROUP)
end

local function beat(id, about)
  local before, this = redis.call('HGET', beats, id), string.format('%d%06d', clock[1], clock[2])
  if before == this then this = text(tonumber(this) + 1) end
  redis.call('HDEL', owners, id)
  redis.call('HSET', owners, id, about)
  redis.call('HSET', beats, id, this)
end

local function split(taken)
  local places, names = {}, {}
  for i = 1, #taken, 2 do
    places[#places + 1] = taken[i + 1] .. '-0'
    names[#names + 1] = string.match(taken[i], '^%S+ %S+ %S+ %S+ (.*)$')
  end
  return places, names
end

local function told(names, rid)
  local pairs_ = {}
  for _, name in ipairs(names) do
    pairs_[#pairs_ + 1] = name
    pairs_[#pairs_ + 1] = rid
  end
  each({'HSET', ids}, pairs_)
end

-- what moving a report needs, looked at before anything is written
local function sound(report)
  must(root .. 'records:' .. report.id, 'zset')
  must(root .. 'pending:' .. report.key, 'zset')
  must(root .. 'sent:' .. report.key, 'zset')
  must(root .. 'held:' .. report.owner, 'set')
  local n = tonumber(report.records or '')
  if n == nil or has[report.state] == nil or redis.call('ZCARD', root .. 'records:' .. report.id) ~= n then
    error('KELVIQ-POISONED')
  end
  report.n = n
end

local function settle(report, state, reason, note, late, by)
  local rid, key, before = report.id, report.key, report.state
  local hash, records = root .. 'report:' .. rid, root .. 'records:' .. rid
  redis.call('ZREM', root .. before, rid)
  if before == 'in_flight' then
    if redis.call('HGET', flying, key) == rid then redis.call('HDEL', flying, key) end
    redis.call('SREM', root .. 'held:' .. report.owner, rid)
  end
  local taken = redis.call('ZRANGE', records, 0, -1, 'WITHSCORES')
  local places, names = split(taken)
  if state == 'pending' then
    each({'XACK', stream, GROUP}, places)
    local members = {}
    for i = 1, #taken, 2 do
      members[i], members[i + 1] = taken[i + 1], taken[i]
      -- the entry in the stream keeps the moment: it says what was accepted
      if late == '0' then members[i + 1] = string.gsub(taken[i], '^(%S+ %S+ %S+) %S+', '%1 -') end
    end
    each({'ZADD', root .. 'pending:' .. key}, members)
    told(names, '')
    redis.call('DEL', records)
    head(key)
  elseif OVER[state] then
    each({'XACK', stream, GROUP}, places)
    each({'XDEL', stream}, places)
    redis.call('DEL', records)
    redis.call('HSET', hash, 'ids', cmsgpack.pack(names))
    redis.call('ZADD', ended, now, rid)
  else
    each({'XCLAIM', stream, GROUP, state, 0}, places, {'FORCE', 'JUSTID'})
  end
  if SENT[state] then
    redis.call('ZADD', root .. 'sent:' .. key, report.last, rid)
  else
    redis.call('ZREM', root .. 'sent:' .. key, rid)
  end
  local was, is = report.late == '1', report.late == '1'
  if late ~= '' then is = late == '1' end
  has[before] = has[before] - report.n
  has[state] = has[state] + report.n
  if was and LATE[before] then has.late = has.late - report.n end
  if is and LATE[state] then has.late = has.late + report.n end
  redis.call('HSET', hash, 'state', state, 'reason', reason, 'ended_at', now, 'late', is and '1' or '0',
    'by', by)
  if note then redis.call('HSET', hash, 'note', note) end
  if state == 'pending' then
    redis.call('EXPIRE', hash, KEPT)
  else
    redis.call('ZADD', root .. state, report.seq, rid)
  end
end
"""
)
