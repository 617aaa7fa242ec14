-- Begins each script that has to do with time. The server's clock is the one that all nodes have in common.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) -- in milliseconds
