-- cluster_meta.lua - what a Cluster's store was made with (core/layout.h); begins or ends laying out
-- a new one. Its lanes are laid out one by one (cluster_lane.lua), as each has a slot of its own.
--
-- KEYS  hgp:meta
-- ARGV  1 lanes of a new store   2 a random id, 16 hex digits   3 a random seed, 32 hex digits
--       4 "look"; "make" begins a new one if there is none; "made" all lanes of the store with this
--         id are there
-- Reply: format, lanes, id, seed, "making" or "made", the node's time in ms.
-- Error replies: HGPDAMAGED there is none, or not that one, or not a Cluster's.

local meta = KEYS[1]
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local m = redis.call('HMGET', meta, 'format', 'lanes', 'id', 'seed', 'state')

if not m[1] then
    if ARGV[4] ~= 'make' then
        return redis.error_reply('HGPDAMAGED the store is gone: hgp:meta is missing')
    end
    if redis.call('EXISTS', meta) > 0 then
        return redis.error_reply('HGPDAMAGED hgp:meta has lost its fields')
    end
    m = {'1', ARGV[1], ARGV[2], ARGV[3], 'making'}
    redis.call('HSET', meta, 'format', m[1], 'lanes', m[2], 'id', m[3], 'seed', m[4], 'state', m[5],
        'created', now)
end
if not m[5] then
    return redis.error_reply('HGPDAMAGED hgp:meta is not a Cluster\'s')
end
if ARGV[4] == 'made' then
    if m[3] ~= ARGV[2] then
        return redis.error_reply('HGPDAMAGED hgp:meta is of another store by now')
    end
    m[5] = 'made'
    redis.call('HSET', meta, 'state', m[5])
end
m[6] = now
return m
