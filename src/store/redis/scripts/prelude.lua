-- Before every script on a scope. KEYS[1]: the partition's generation, ARGV[1]: the one expected.
-- Under another one the store lost what it held, and nothing the caller believes holds.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {-1} end

local GONE, DONE = 0, 1

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function damaged(what)
  error({err = 'DAMAGED ' .. what})
end
