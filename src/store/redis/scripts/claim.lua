-- ARGV: generation, thing, owner, the epoch to end or nothing, note, bytes per scope, age in ms.
local LOST = 2
local scope, name, owner, ending = KEYS[2], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', scope) == 0 then return {GONE} end
local now, age = now_ms(), tonumber(ARGV[7])
forget_aged(scope, now, age)
local thing = load(scope, name)
if thing and aged(thing, now, age) then
  forget(scope, name)
  thing = nil
end
-- Epoch 0 stands while nobody has claimed it.
if ending ~= '' and (thing and thing.epoch or 0) ~= tonumber(ending) then return {LOST} end
local previous = false
if thing then
  local before = cost(thing)
  previous = thing.owner
  -- By the time, so that a new owner outranks the old one even if a failover lost its epoch.
  thing.epoch, thing.owner, thing.note = math.max(thing.epoch + 1, now), owner, ARGV[5]
  save(scope, name, thing)
  charge(scope, cost(thing) - before)
else
  thing = {
    epoch = now, owner = owner, note = ARGV[5],
    last = 0, kept = 0, bytes = 0, ended = 0, followers = {},
  }
  -- First of all writes: a server that is full refuses the first that needs memory, and none after one
  -- that needs none.
  save(scope, name, thing)
  redis.call('UNLINK', log_of(scope, name))
  charge(scope, cost(thing))
  fit(scope, tonumber(ARGV[6]))
end
local ended = thing.ended > 0 and 1 or 0
return {DONE, thing.epoch, thing.owner, thing.note, thing.last, ended, previous}
