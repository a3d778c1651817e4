-- Single things: one field each in the scope's hash, a stream each for their logs, and a sorted
-- set of those that ended, by when.
local FORM = 1
local ENTRY_COST, THING_COST = 64, 256
-- What every payload is written with: the byte of its form and a checksum.
local HEADER_BYTES = 5
local FOLLOWERS_MAX = 64
-- Aged logs that one call clears away; the next call takes the next ones.
local AGED_AT_ONCE = 16

-- A key of the scope's that is not its own: same tag, another kind.
local function beside(scope, kind)
  local at = string.find(scope, ':s:', 1, true)
  return string.sub(scope, 1, at) .. kind, string.sub(scope, at + 3)
end

local function ended_of(scope)
  local key, name = beside(scope, 'e:')
  return key .. name
end

-- The length keeps two pairs of names apart that read the same when joined.
local function log_of(scope, thing)
  local key, name = beside(scope, 'l:')
  return key .. #name .. ':' .. name .. ':' .. thing
end

local function id(seq)
  return string.format('%.0f-0', seq)
end

local function size(payload)
  return #payload - HEADER_BYTES
end

local function load(scope, thing)
  local packed = redis.call('HGET', scope, 't:' .. thing)
  if not packed then return nil end
  if string.byte(packed) ~= FORM then damaged('a thing of an unknown form') end
  local ok, found = pcall(cmsgpack.unpack, string.sub(packed, 2))
  if not ok or type(found) ~= 'table' or type(found.owner) ~= 'string'
    or type(found.note) ~= 'string' or type(found.followers) ~= 'table' then
    damaged('a thing that cannot be read')
  end
  for _, field in ipairs({'epoch', 'last', 'kept', 'bytes', 'ended'}) do
    if type(found[field]) ~= 'number' then damaged('a thing that cannot be read') end
  end
  return found
end

local function cost(thing)
  return THING_COST + #thing.note + thing.bytes + thing.kept * ENTRY_COST
end

local function charge(scope, by)
  return redis.call('HINCRBY', scope, 'b', string.format('%.0f', by))
end

local function save(scope, name, thing)
  redis.call('HSET', scope, 't:' .. name, string.char(FORM) .. cmsgpack.pack(thing))
end

local function forget(scope, name)
  local thing = load(scope, name)
  redis.call('ZREM', ended_of(scope), name)
  redis.call('UNLINK', log_of(scope, name))
  if thing then
    redis.call('HDEL', scope, 't:' .. name)
    charge(scope, -cost(thing))
  end
end

local function aged(thing, now, age)
  return thing.ended > 0 and thing.ended + age <= now
end

local function forget_aged(scope, now, age)
  local old = redis.call('ZRANGEBYSCORE', ended_of(scope), '-inf', now - age, 'LIMIT', 0, AGED_AT_ONCE)
  for _, name in ipairs(old) do forget(scope, name) end
end

-- Drops the oldest entries while there are more, or more bytes, than may be; never the newest `spared`.
local function drop_oldest(log, thing, entries, bytes, spared)
  local function over()
    return thing.kept > spared and (thing.kept > entries or thing.bytes > bytes)
  end
  while over() do
    local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 16)
    if #oldest == 0 then
      thing.kept, thing.bytes = 0, 0
      return
    end
    local through
    for _, entry in ipairs(oldest) do
      if not over() then break end
      thing.kept, thing.bytes, through = thing.kept - 1, thing.bytes - size(entry[2][2]), entry[1]
    end
    -- Everything before the place right after the last one dropped.
    local rest = string.gsub(through, '%-0$', '-1')
    redis.call('XTRIM', log, 'MINID', rest)
  end
end

-- Drops until the scope's share holds: ended logs first, oldest first, then the oldest entries of the
-- biggest log.
local function fit(scope, share)
  local total = tonumber(redis.call('HGET', scope, 'b'))
  while total > share do
    local name = redis.call('ZRANGE', ended_of(scope), 0, 0)[1]
    if name then
      forget(scope, name)
      total = tonumber(redis.call('HGET', scope, 'b'))
    else
      local biggest, thing
      for _, field in ipairs(redis.call('HKEYS', scope)) do
        if string.sub(field, 1, 2) == 't:' then
          local candidate = load(scope, string.sub(field, 3))
          if candidate.kept > 0 and (not thing or candidate.bytes > thing.bytes) then
            biggest, thing = string.sub(field, 3), candidate
          end
        end
      end
      if not thing then return end
      local before = cost(thing)
      -- The excess, entries' own cost aside: at most one round more makes that up.
      drop_oldest(log_of(scope, biggest), thing, thing.kept - 1, math.max(thing.bytes - (total - share), 0), 0)
      save(scope, biggest, thing)
      total = charge(scope, cost(thing) - before)
    end
  end
end
