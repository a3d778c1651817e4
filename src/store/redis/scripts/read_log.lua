-- ARGV: generation, thing, the number to read after, entries at most, follower or nothing, age in ms.
local DROPPED = 2
local scope, name, follower = KEYS[2], ARGV[2], ARGV[5]
local thing = load(scope, name)
if not thing or aged(thing, now_ms(), tonumber(ARGV[6])) then return {GONE} end
if follower ~= '' then
  local known = false
  for _, each in ipairs(thing.followers) do known = known or each == follower end
  if not known then
    if #thing.followers >= FOLLOWERS_MAX then table.remove(thing.followers, 1) end
    table.insert(thing.followers, follower)
    save(scope, name, thing)
  end
end
local after = tonumber(ARGV[3])
if after > thing.last or after < thing.last - thing.kept then return {DROPPED} end
local entries = {}
if after < thing.last and ARGV[4] ~= '0' then
  entries = redis.call('XRANGE', log_of(scope, name), id(after + 1), '+', 'COUNT', ARGV[4])
end
local reply = {DONE, thing.ended > 0 and 1 or 0, thing.last}
for _, entry in ipairs(entries) do
  reply[#reply + 1] = string.match(entry[1], '^%d+')
  reply[#reply + 1] = entry[2][2]
end
return reply
