-- ARGV: generation, thing, epoch, whether it ends, the first number, entries per log, bytes per log,
-- bytes per scope, age in ms, payloads.
local STALE, GAP = 2, 3
local PAYLOADS = 10
local scope, name = KEYS[2], ARGV[2]
if redis.call('EXISTS', scope) == 0 then return {GONE} end
local now, age = now_ms(), tonumber(ARGV[9])
local thing = load(scope, name)
if not thing or thing.ended > 0 or thing.epoch ~= tonumber(ARGV[3]) then return {STALE} end
if #ARGV >= PAYLOADS and tonumber(ARGV[5]) ~= thing.last + 1 then return {GAP, thing.last} end

local log, before = log_of(scope, name), cost(thing)
for i = PAYLOADS, #ARGV do
  redis.call('XADD', log, id(thing.last + 1), 'd', ARGV[i])
  thing.last, thing.kept, thing.bytes = thing.last + 1, thing.kept + 1, thing.bytes + size(ARGV[i])
end
-- The newest stays even if it alone is larger: a single large result must still be resumable.
drop_oldest(log, thing, tonumber(ARGV[6]), tonumber(ARGV[7]), 1)
local expires = redis.call('PEXPIRETIME', scope)
if ARGV[4] == '1' then
  thing.ended = now
  local ended = ended_of(scope)
  redis.call('ZADD', ended, now, name)
  redis.call('PEXPIREAT', ended, expires)
  expires = math.min(expires, now + age)
end
redis.call('PEXPIREAT', log, string.format('%.0f', expires))
save(scope, name, thing)
if charge(scope, cost(thing) - before) > tonumber(ARGV[8]) then
  forget_aged(scope, now, age)
  fit(scope, tonumber(ARGV[8]))
end

local reply = {DONE}
for _, follower in ipairs(thing.followers) do
  if follower ~= thing.owner then reply[#reply + 1] = follower end
end
return reply
