-- Where a log stands, and its messages after an offset, of the same moment.
--
-- ARGV[3], ARGV[4]: epoch and offset after which to read, or empty; 5: how many messages at most.
-- Answers with epoch and offset, and with offset, age and payload of each message.
local function aged(entry)
  return now - tonumber(entry[2][2]) > age
end

-- Messages beyond their age go here, so that each is looked at once.
local before, count = first, 1
while first <= offset do
  local oldest = redis.call('XRANGE', MESSAGES, text(first) .. '-0', '+', 'COUNT', count)
  if #oldest == 0 then
    first, bytes = offset + 1, 0
    break
  end
  local found = false
  for _, entry in ipairs(oldest) do
    if not aged(entry) then
      found = true
      break
    end
    first = tonumber(string.match(entry[1], '^%d+')) + 1
    bytes = bytes - #entry[2][4]
  end
  if found then
    break
  end
  count = 64
end
if first > before then
  redis.call('XTRIM', MESSAGES, 'MINID', '=', text(first) .. '-0')
  redis.call('HSET', LOG, 'first', text(first), 'bytes', text(bytes))
end

local from = first
if ARGV[3] == epoch and tonumber(ARGV[4]) <= offset then
  from = math.max(first, tonumber(ARGV[4]) + 1)
end
local answer = { epoch, text(offset) }
for _, entry in ipairs(redis.call('XRANGE', MESSAGES, text(from) .. '-0', '+', 'COUNT', ARGV[5])) do
  answer[#answer + 1] = string.match(entry[1], '^%d+')
  answer[#answer + 1] = text(math.max(0, now - tonumber(entry[2][2])))
  answer[#answer + 1] = entry[2][4]
end
return answer
