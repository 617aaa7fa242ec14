-- The nodes that are alive, each with the number of the call with which its lease began.
--
-- KEYS: the leases.
local answer = {}
local leases = redis.call('HGETALL', KEYS[1])
for at = 1, #leases, 2 do
  local ends, began = string.match(leases[at + 1], '^(%d+) (%d+) ')
  if now < tonumber(ends) then
    answer[#answer + 1] = leases[at]
    answer[#answer + 1] = began
  end
end
return answer
