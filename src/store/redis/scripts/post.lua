-- KEYS: inbox. ARGV: message, messages at most, unread life in ms.
-- Messages are numbered without gaps from a start that grows with time, so that a reader sees what
-- it missed, and an inbox that was forgotten and made anew is told from the old one.
local inbox = KEYS[1]
local number
if redis.call('EXISTS', inbox) == 1 then
  local info = redis.call('XINFO', 'STREAM', inbox)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then number = tonumber(string.match(info[i + 1], '^%d+')) + 1 end
  end
else
  -- In microseconds: no message is posted, forgotten and followed by another within one.
  local time = redis.call('TIME')
  number = time[1] * 1000000 + time[2]
end
redis.call('XADD', inbox, 'MAXLEN', '=', ARGV[2], string.format('%.0f-0', number), 'm', ARGV[1])
if redis.call('PTTL', inbox) < 0 then redis.call('PEXPIRE', inbox, ARGV[3]) end
return 1
