-- ARGV: generation, thing, age in ms.
local thing = load(KEYS[2], ARGV[2])
if not thing or aged(thing, now_ms(), tonumber(ARGV[3])) then return {GONE} end
return {DONE, thing.epoch, thing.owner, thing.note}
