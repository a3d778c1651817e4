-- KEYS: generation, scopes. ARGV: generation, each scope's life in ms.
local now = now_ms()
for i = 2, #KEYS do
  local scope = KEYS[i]
  local expires = now + tonumber(ARGV[i])
  local standing = redis.call('PEXPIRETIME', scope)
  if standing >= 0 and standing < expires then
    local at = string.format('%.0f', expires)
    local ended = ended_of(scope)
    redis.call('PEXPIREAT', scope, at)
    redis.call('PEXPIREAT', ended, at)
    for _, field in ipairs(redis.call('HKEYS', scope)) do
      local thing = string.sub(field, 3)
      -- What ended goes by its age.
      if string.sub(field, 1, 2) == 't:' and not redis.call('ZSCORE', ended, thing) then
        redis.call('PEXPIREAT', log_of(scope, thing), at)
      end
    end
  end
end
return {DONE}
