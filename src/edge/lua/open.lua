-- open.lua - what the store was made with; lays out a new one (core/layout.h).
--
-- ARGV  1 lanes wanted, 0 whatever is there   2 lanes of a new store
--       3 a random id, 16 hex digits   4 a random seed, 32 hex digits   5 key ttl in ms
--       6 "1" lays out a new store, "0" says that it is gone: the caller has known it
-- Reply: format, lanes, id, seed, the store's clock, "1" if it was laid out just now, then each
-- lane's epoch.
-- Error replies: HGPDAMAGED the store is gone, or lanes without hgp:meta, or a lane is missing.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local meta = redis.call('HMGET', 'hgp:meta', 'format', 'lanes', 'id', 'seed', 'clock')
local made = '0'

local function lane_name(lane)
    return 'hgp:{' .. string.format('%d', lane) .. '}:m'
end

if not meta[1] then
    if ARGV[6] ~= '1' then
        return redis.error_reply('HGPDAMAGED the store is gone: Redis has been emptied')
    end
    if redis.call('EXISTS', 'hgp:meta', lane_name(0)) > 0 then
        return redis.error_reply('HGPDAMAGED hgp:meta has lost its fields')
    end
    local lanes = tonumber(ARGV[1]) > 0 and ARGV[1] or ARGV[2]
    local clock, ttl = string.format('%d', now), tonumber(ARGV[5])
    meta, made = {'1', lanes, ARGV[3], ARGV[4], clock}, '1'
    redis.call('HSET', 'hgp:meta', 'format', '1', 'lanes', lanes, 'id', ARGV[3], 'seed', ARGV[4],
        'created', clock, 'clock', clock)
    for lane = 0, tonumber(lanes) - 1 do
        redis.call('HSET', lane_name(lane), 'epoch', '1', 'seq', '0', 'chain', '0000000000000000',
            'et', '0', 'forgotten', '-1', 'generation', '2',
            'began', string.format('%d', now - now % ttl), 'ttl', ARGV[5], 'bytes', '0')
    end
end
local stored = tonumber(meta[5] or now)
meta[5] = string.format('%d', now > stored and now or stored)
meta[6] = made
if meta[1] == '1' then
    for lane = 0, tonumber(meta[2]) - 1 do
        meta[7 + lane] = redis.call('HGET', lane_name(lane), 'epoch')
        if not meta[7 + lane] then
            return redis.error_reply('HGPDAMAGED ' .. lane_name(lane) .. ' is missing')
        end
    end
end
return meta
