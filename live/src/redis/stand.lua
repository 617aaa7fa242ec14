-- Begins each script that works on a topic's log. Says where the log stands.
--
-- KEYS: log, messages, ids, order. ARGV[1]: the run of the server, as the caller's connection knows it. ARGV[2]: the
-- epoch that begins if this server may have forgotten something: another run, or no log.
local LOG, MESSAGES, IDS, ORDER = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local REMEMBERED = 300000 -- how long an id is known
local LONGER = 600000 -- how much longer than all of its history a log is known

local function text(number)
  return string.format('%.0f', number)
end

local log = redis.call('HMGET', LOG, 'epoch', 'run', 'offset', 'first', 'bytes', 'age')
local epoch, offset, first = log[1], tonumber(log[3] or 0), tonumber(log[4] or 1)
local bytes, age = tonumber(log[5] or 0), tonumber(log[6] or 0)
if epoch and log[2] == ARGV[1] then
  -- It goes on.
elseif epoch then
  epoch = ARGV[2]
  redis.call('HSET', LOG, 'epoch', epoch, 'run', ARGV[1])
else
  epoch = ARGV[2]
  redis.call('DEL', MESSAGES, IDS, ORDER)
  redis.call('HSET', LOG, 'epoch', epoch, 'run', ARGV[1], 'offset', 0, 'first', 1, 'bytes', 0, 'age', 0)
  redis.call('PEXPIRE', LOG, text(LONGER))
end
if first <= offset and redis.call('EXISTS', MESSAGES) == 0 then
  first, bytes = offset + 1, 0
end
