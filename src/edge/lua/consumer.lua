-- consumer.lua - one lane's consumers of events (RELIABILITY 3.6): registers one, or forgets it.
--
-- The lane's meta has a field "c:<name>" for each, with the position it has reported (by tidy.lua),
-- and "consumers", how many there are.
--
-- KEYS  on a Cluster: the lane's meta and outbox
-- ARGV  1 the lane's tag   2 epoch   3 the consumer's name   4 "join" or "leave"
-- Reply: epoch, the number of the lane's last event, the consumer's position "<epoch> <number>": of
-- a new one, in front of the oldest event that is still there.
-- Error replies: HGPEPOCH.

local name, field = 'hgp:{' .. ARGV[1] .. '}:', 'c:' .. ARGV[3]
local m = redis.call('HMGET', name .. 'm', 'epoch', 'seq', field, 'consumers')
local consumers = tonumber(m[4] or 0)

if m[1] ~= ARGV[2] then
    return redis.error_reply('HGPEPOCH lane ' .. name .. ' has epoch ' .. (m[1] or 'none'))
end
if ARGV[4] == 'leave' then
    if m[3] then
        redis.call('HDEL', name .. 'm', field)
        redis.call('HSET', name .. 'm', 'consumers', string.format('%d', consumers - 1))
    end
elseif not m[3] then
    local first = redis.call('XRANGE', name .. 'o', '-', '+', 'COUNT', '1')[1]
    m[3] = m[1] .. ' ' .. m[2]
    if first then
        local epoch, last = first[1]:match('^(%d+)-(%d+)$')
        for i = 1, #first[2], 2 do
            if first[2][i] == 's' then
                m[3] = epoch .. ' ' .. string.format('%d', last - first[2][i + 1])
            end
        end
    end
    redis.call('HSET', name .. 'm', field, m[3], 'consumers', string.format('%d', consumers + 1))
end
m[4] = nil
return m
