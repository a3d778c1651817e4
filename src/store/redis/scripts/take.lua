-- KEYS: buckets. ARGV, of each: microseconds until a token comes back, how many it holds, how many to
-- take, how many to put back first. Answers, of each: how many were taken, in how many microseconds
-- there is one more (0 if all that was wanted was there), and how many are left.
--
-- A bucket is the time at which it is full, by this server's clock; one that is full is not kept. As
-- a number of microseconds that time is exact to a quarter of one.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local reply = {}
for i, key in ipairs(KEYS) do
  local interval = tonumber(ARGV[4 * i - 3])
  local burst, want, back = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local latest = now + interval * burst
  local full = tonumber(redis.call('GET', key) or now) or now
  full = math.min(math.max(full - interval * back, now), latest)
  -- The rounding of times must not cost a token.
  local taken = math.min(math.floor((latest - full) / interval + 0.001), want)
  full = math.min(full + interval * taken, latest)
  local wait = 0
  if taken < want then wait = math.max(math.ceil(full + interval - latest), 1) end
  local life = math.ceil((full - now) / 1000)
  if life > 0 then
    redis.call('SET', key, string.format('%.2f', full), 'PX', string.format('%.0f', life))
  else
    redis.call('UNLINK', key)
  end
  reply[3 * i - 2] = taken
  reply[3 * i - 1] = wait
  reply[3 * i] = math.floor((latest - full) / interval + 0.001)
end
return reply
