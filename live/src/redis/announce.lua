-- Writes down who has come and gone at a node, and feeds it.
--
-- ARGV[3]: the node; 4: the number of the announcement; 5: when the lease ends that the node knew of when it made it; 6:
-- channel; 7: what is fed; 8: for how many milliseconds it is known; 9: how many have come; then their names, and then
-- those who have gone.
-- Answers with how many names the node has in this topic, or with -1 if it is refused.
--
-- The field of a name is the node and the name, and its value the number with which it was announced last. The field of
-- a node alone has the number of its last announcement, and how many names there are. An announcement that was given up
-- may come after newer ones, and is refused. The number is kept for far longer than such a one may be late: it is
-- refused, too, after the end of the lease that its node knew of.
local node, number, joined = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[9])
local began = life(node)
local last, count = string.match(redis.call('HGET', HERE, node) or '0 0', '^(%d+) (%d+)$')
last, count = tonumber(last), tonumber(count)
if not began or now >= tonumber(ARGV[5]) or number <= began or number <= last then
  return -1
end
if last < began then
  count = 0
end
for at = 10, #ARGV do
  local field = node .. ARGV[at]
  local known = tonumber(redis.call('HGET', HERE, field) or 0) > began
  if at < 10 + joined then
    redis.call('HSET', HERE, field, ARGV[4])
    count = known and count or count + 1
  else
    redis.call('HDEL', HERE, field)
    count = known and count - 1 or count
  end
end
redis.call('HSET', HERE, node, string.format('%s %.0f', ARGV[4], count))
redis.call('PEXPIRE', HERE, ARGV[8])
redis.call('SPUBLISH', ARGV[6], ARGV[7])
return count
