-- KEYS: leases, probe, generations (of a cluster none). ARGV: node, life in ms, life of the probe in ms.
-- Answers the time, when this lease lapses, when it would have lapsed (nothing if it has, or is new),
-- the generations, why a write was refused (nothing if it was not), and the nodes that live.
--
-- A server that is full refuses what takes memory, but only to a script that has written nothing yet.
-- So the probe comes first: it is refused, and the lease of a node that lives is renewed all the same.
local probed = redis.pcall('SET', KEYS[2], 1, 'PX', ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
local lapses = now + tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], lapses, ARGV[1])
local latest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', tonumber(latest)))
local generations = {}
if #KEYS > 2 then generations = redis.call('MGET', unpack(KEYS, 3)) end
local reply = {now, lapses, before, generations, probed.err or false}
for _, node in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do reply[#reply + 1] = node end
return reply
