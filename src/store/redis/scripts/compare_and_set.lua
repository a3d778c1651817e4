-- ARGV: generation, the version expected, value.
local LOST = 2
local scope = KEYS[2]
local value, version, life = record(scope)
if not value then return {GONE} end
if version ~= tonumber(ARGV[2]) then return {LOST, value, version, life} end
-- By the time, so that a failover that loses the latest writes gives no number a second time.
local next_version = math.max(version + 1, now_ms())
redis.call('HSET', scope, 'r', ARGV[3], 'v', string.format('%.0f', next_version))
return {DONE, next_version}
