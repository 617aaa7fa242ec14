-- Begins each script that works on who is here.
--
-- KEYS: presence of a topic. ARGV[2]: the key of the leases, which has another slot; a cluster has one shard.
--
-- A node counts its announcements, and the leases that it asks for, by one number that only rises. A lease's value is
-- when it ends, the number of the call with which it began, for how long it was taken, and the run of the server in which it
-- was. What was announced before the lease began is void: the server may have lost what came after it.
local HERE, LEASES = KEYS[1], ARGV[2]

-- With which number the lease of a node began. Nil if it has none.
local function life(node)
  local ends, began = string.match(redis.call('HGET', LEASES, node) or '', '^(%d+) (%d+) ')
  if ends and now < tonumber(ends) then
    return tonumber(began)
  end
end
