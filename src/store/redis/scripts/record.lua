-- A record as it stands: value, version, life left in ms. Nothing if there is none.
local function record(scope)
  if redis.call('EXISTS', scope) == 0 then return nil end
  local found = redis.call('HMGET', scope, 'r', 'v')
  local version = tonumber(found[2])
  if not found[1] or not version then damaged('a record that is not whole') end
  return found[1], version, redis.call('PTTL', scope)
end
