local value, version, life = record(KEYS[2])
if not value then return {GONE} end
return {DONE, value, version, life}
