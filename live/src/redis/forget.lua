-- Removes entries of presence that have not changed since they were read.
--
-- KEYS: presence of a topic. ARGV, from the second on: field and value of each entry.
for at = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then
    redis.call('HDEL', KEYS[1], ARGV[at])
  end
end
return 0
