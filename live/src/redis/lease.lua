-- Renews the lease of a node, or only looks if the node is empty.
--
-- KEYS: the leases. ARGV: the run of the server, the node, milliseconds. A lease's value is when it ends, and the run
-- in which it was taken: a server that has started again may have forgotten what the node announced last.
-- Answers with whether the lease was held, and with all nodes that are alive.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local node, last, answer = ARGV[2], 0, { 0 }
local leases = redis.call('HGETALL', KEYS[1])
for at = 1, #leases, 2 do
  local ends, run = string.match(leases[at + 1], '^(%d+) (.*)$')
  ends = tonumber(ends)
  if ends <= now then
    redis.call('HDEL', KEYS[1], leases[at])
  else
    last = math.max(last, ends)
    if leases[at] ~= node then
      answer[#answer + 1] = leases[at]
    elseif run == ARGV[1] then
      answer[1] = 1
    end
  end
end
if node ~= '' then
  local ends = now + tonumber(ARGV[3])
  redis.call('HSET', KEYS[1], node, string.format('%.0f', ends) .. ' ' .. ARGV[1])
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(1, math.max(last, ends) - now)))
  answer[#answer + 1] = node
end
return answer
