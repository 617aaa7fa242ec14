-- Writes down who has come and gone at a node, and feeds it.
--
-- KEYS: presence of a topic. ARGV[2]: channel; 3: what is fed; 4: for how many milliseconds it is known; 5: the value of
-- each new entry; 6: how many have come; then their fields, and then those who have gone.
for at = 7, #ARGV do
  if at < 7 + tonumber(ARGV[6]) then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[5])
  else
    redis.call('HDEL', KEYS[1], ARGV[at])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SPUBLISH', ARGV[2], ARGV[3])
return 0
