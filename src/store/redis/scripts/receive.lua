-- KEYS: inbox. ARGV: cursor, messages at most, unread life in ms.
-- Forgets what the cursor passed. Answers the number of the newest message, the number before the
-- very first one, and the messages after the cursor.
local inbox, cursor = KEYS[1], ARGV[1]
if redis.call('EXISTS', inbox) == 0 then return {0, 0} end
redis.call('PEXPIRE', inbox, ARGV[3])
redis.call('XTRIM', inbox, 'MINID', cursor .. '-1')
local newest, added
local info = redis.call('XINFO', 'STREAM', inbox)
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then newest = tonumber(string.match(info[i + 1], '^%d+')) end
  if info[i] == 'entries-added' then added = info[i + 1] end
end
local reply = {newest, newest - added}
for _, entry in ipairs(redis.call('XRANGE', inbox, '(' .. cursor .. '-0', '+', 'COUNT', ARGV[2])) do
  reply[#reply + 1] = string.match(entry[1], '^%d+')
  reply[#reply + 1] = entry[2][2]
end
return reply
