-- Removes fields of presence that are void: their node has no lease, or has announced them before it began.
--
-- ARGV, from the third on: the fields. They were void when they were read, and may have been announced again since then.
for at = 3, #ARGV do
  local began = life(string.sub(ARGV[at], 1, 16))
  local number = string.match(redis.call('HGET', HERE, ARGV[at]) or '', '^%d+')
  if number and not (began and tonumber(number) > began) then
    redis.call('HDEL', HERE, ARGV[at])
  end
end
return 0
