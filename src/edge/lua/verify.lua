-- verify.lua - counters and how far their lanes' events have come, of one moment. Changes nothing.
--
-- KEYS  the lanes' metas, then where counters are
-- ARGV  1 how many metas   2 GET (strings) or HGETALL (a Cluster's hashes)
-- Reply: {epoch, seq} of each lane, then what is read of each other key, an error included.

local metas = tonumber(ARGV[1])
local out = {}
for i, key in ipairs(KEYS) do
    if i <= metas then
        out[i] = redis.call('HMGET', key, 'epoch', 'seq')
    else
        out[i] = redis.pcall(ARGV[2], key)
    end
end
return out
