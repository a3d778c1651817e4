local scope = KEYS[2]
if redis.call('EXISTS', scope) == 0 then return {GONE} end
for _, field in ipairs(redis.call('HKEYS', scope)) do
  if string.sub(field, 1, 2) == 't:' then
    redis.call('UNLINK', log_of(scope, string.sub(field, 3)))
  end
end
redis.call('UNLINK', ended_of(scope), scope)
return {DONE}
