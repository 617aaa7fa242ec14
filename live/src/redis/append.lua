-- Appends a message, and feeds it. Each message costs the same, however long the log is: it is removed once.
--
-- ARGV[3]: channel; 4: payload; 5, 6, 7: how many messages, bytes, and milliseconds are kept; 8, 9: the id, empty if
-- there is none, and the hash of the payload; 10: where the log must stand, or empty.
local payload, messages, most, hash = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[9]
local id, expect = ARGV[8], ARGV[10]
age = tonumber(ARGV[7])

-- An id's value is the hash of its payload, when it came, and the offset of its message.
if id ~= '' then
  local seen = redis.call('HGET', IDS, id)
  if seen then
    local came, at = string.match(seen, '^(%d+):(%d+)$', 17)
    if now - tonumber(came) <= REMEMBERED then
      if string.sub(seen, 1, 16) ~= hash then
        return { 'taken' }
      end
      return { 'at', epoch, at }
    end
  end
end
if expect ~= '' and expect ~= epoch .. ':' .. text(offset) then
  return { 'conflict', epoch, text(offset) }
end

offset = offset + 1
bytes = bytes + #payload
local before = first
while first < offset and (offset - first + 1 > messages or bytes > most) do
  local gone = redis.call('XRANGE', MESSAGES, text(first) .. '-0', '+', 'COUNT',
    math.max(1, math.min(offset - first + 1 - messages, 64)))
  if #gone == 0 then
    first, bytes = offset, #payload
  end
  for _, entry in ipairs(gone) do
    first = tonumber(string.match(entry[1], '^%d+')) + 1
    bytes = bytes - #entry[2][4]
  end
end
if first > before then
  redis.call('XADD', MESSAGES, 'MINID', '=', text(first) .. '-0', text(offset) .. '-0', 't', text(now), 'p', payload)
else
  redis.call('XADD', MESSAGES, text(offset) .. '-0', 't', text(now), 'p', payload)
end
redis.call('HSET', LOG, 'offset', text(offset), 'first', text(first), 'bytes', text(bytes), 'age', text(age))
-- History ends before its epoch does.
redis.call('PEXPIRE', MESSAGES, text(math.max(1, age)))
redis.call('PEXPIRE', LOG, text(math.max(age, REMEMBERED) + LONGER))

if id ~= '' then
  redis.call('HSET', IDS, id, hash .. text(now) .. ':' .. text(offset))
  -- Each entry is an id and when it came. An id that has come again later stays.
  local count = redis.call('RPUSH', ORDER, id .. text(now))
  for _ = 1, 16 do
    local oldest = redis.call('LINDEX', ORDER, 0)
    local came = string.sub(oldest, 17)
    if count <= 4096 and now - tonumber(came) <= REMEMBERED then
      break
    end
    redis.call('LPOP', ORDER)
    count = count - 1
    local known = string.sub(oldest, 1, 16)
    local seen = redis.call('HGET', IDS, known)
    if seen and string.match(seen, '^%d+', 17) == came then
      redis.call('HDEL', IDS, known)
    end
  end
  redis.call('PEXPIRE', IDS, text(REMEMBERED))
  redis.call('PEXPIRE', ORDER, text(REMEMBERED))
end

redis.call('SPUBLISH', ARGV[3], 'm' .. epoch .. ':' .. text(offset) .. ':' .. payload)
return { 'at', epoch, text(offset) }
