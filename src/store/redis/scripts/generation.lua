-- The generation of a partition; made if there is none.
-- KEYS: generation. ARGV: the one to make.
local standing = redis.call('GET', KEYS[1])
if not standing then
  redis.call('SET', KEYS[1], ARGV[1])
  return ARGV[1]
end
return standing
