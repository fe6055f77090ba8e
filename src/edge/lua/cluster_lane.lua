-- cluster_lane.lua - one lane of a Cluster's store: looks whether it is there, or lays it out.
--
-- KEYS  the lane's meta
-- ARGV  1 the store's id   2 the lane's number   3 key ttl in ms
--       4 "1" lays it out if it is missing: only as long as hgp:meta says "making"
-- Reply: its epoch, its clock.
-- Error replies: HGPDAMAGED it is missing, or another store's.

local meta = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local m = redis.call('HMGET', meta, 'store', 'lane', 'epoch', 'clock')

if not m[1] then
    if ARGV[4] ~= '1' then
        return redis.error_reply('HGPDAMAGED lane ' .. ARGV[2] .. ' is gone: ' .. meta ..
            ' is missing')
    end
    local ttl = tonumber(ARGV[3])
    m = {ARGV[1], ARGV[2], '1', string.format('%d', now)}
    redis.call('HSET', meta, 'store', m[1], 'lane', m[2], 'epoch', m[3], 'clock', m[4],
        'seq', '0', 'chain', '0000000000000000', 'et', '0', 'forgotten', '-1', 'generation', '2',
        'began', string.format('%d', now - now % ttl), 'ttl', ARGV[3], 'bytes', '0')
end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then
    return redis.error_reply('HGPDAMAGED ' .. meta .. ' is lane ' .. m[2] .. ' of store ' .. m[1])
end
return {m[3], string.format('%d', math.max(now, tonumber(m[4])))}
