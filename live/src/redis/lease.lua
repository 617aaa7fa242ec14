-- Renews the lease of a node, or ends it.
--
-- KEYS: the leases. ARGV: the run of the server, the node, for how many milliseconds, and the number of this call.
-- `alive.lua` says what a lease's value is. A lease that was taken in another run has ended, because a server that has
-- started again may have forgotten what the node announced last.
-- Answers with whether the lease was held, when it ends now, and all nodes that are alive.
local node, last, answer = ARGV[2], 0, { 0, '0' }
local began = ARGV[4]
local leases = redis.call('HGETALL', KEYS[1])
for at = 1, #leases, 2 do
  local ends, number, length, run = string.match(leases[at + 1], '^(%d+) (%d+) (%d+) (.*)$')
  ends = tonumber(ends)
  if ends > now + tonumber(length) then
    -- The server's clock has gone back. Without this, a dead node would live for as long as that.
    ends = now + tonumber(length)
    local rest = string.format(' %s %s %s', number, length, run)
    redis.call('HSET', KEYS[1], leases[at], string.format('%.0f', ends) .. rest)
  end
  if ends <= now then
    redis.call('HDEL', KEYS[1], leases[at])
  elseif leases[at] ~= node then
    last = math.max(last, ends)
    answer[#answer + 1] = leases[at]
  elseif run == ARGV[1] then
    answer[1], began = 1, number
  end
end
local ends = now + tonumber(ARGV[3])
if ends == now then
  redis.call('HDEL', KEYS[1], node)
  return answer
end
answer[2] = string.format('%.0f', ends)
redis.call('HSET', KEYS[1], node, answer[2] .. ' ' .. began .. ' ' .. ARGV[3] .. ' ' .. ARGV[1])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(last, ends) - now))
answer[#answer + 1] = node
return answer
