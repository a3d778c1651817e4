-- ARGV: generation, value, version, life in ms.
local scope = KEYS[2]
if redis.call('EXISTS', scope) == 1 then return {GONE} end
redis.call('HSET', scope, 'r', ARGV[2], 'v', ARGV[3], 'b', 0)
redis.call('PEXPIRE', scope, ARGV[4])
return {DONE}
