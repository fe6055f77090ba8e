-- tidy.lua - one lane's housekeeping: forgets silent producers (RELIABILITY 3.2), trims the outbox
-- by age and bytes where no consumer is registered (3.6).
--
-- KEYS  on a Cluster: the lane's meta, windows and outbox; its clock is in the first
-- ARGV  1 the lane's tag   2 epoch   3 the most bytes of this lane's outbox   4 the most age in ms
-- Reply: events trimmed, bytes left, producers left, 1 if more entries may be due: a call takes
-- ENTRIES at most.
-- Error replies: HGPEPOCH, HGPDAMAGED.

local WINDOW, KEEP_MS = 64, 120000 -- core/message.h
local ENTRIES = 256

local name = 'hgp:{' .. ARGV[1] .. '}:'
local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
local clock = math.max(wall, tonumber(redis.call('HGET', KEYS[1] or 'hgp:meta', 'clock') or -1))
local fields = redis.call('HGETALL', name .. 'm')
local m = {}
for i = 1, #fields, 2 do
    m[fields[i]] = fields[i + 1]
end
if m.epoch ~= ARGV[2] then
    return redis.error_reply('HGPEPOCH lane ' .. name .. ' has epoch ' .. (m.epoch or 'none'))
end

local forgotten, producers = tonumber(m.forgotten), 0
for field, value in pairs(m) do
    local active = field:sub(1, 2) == 'p:' and tonumber(value:match(' (%d+)$'))
    if active and active <= clock - KEEP_MS then
        -- A message issued up to then may be a duplicate of what is forgotten here.
        forgotten = math.max(forgotten, active)
        redis.call('HSET', name .. 'm', 'forgotten', string.format('%d', forgotten))
        redis.call('HDEL', name .. 'm', field)
        for slot = 0, WINDOW - 1 do
            redis.call('HDEL', name .. 'w', field:sub(3) .. ':' .. slot)
        end
    elseif active then
        producers = producers + 1
    end
end

local bytes, trimmed, last = tonumber(m.bytes), 0, nil

-- Takes what is due off the oldest 'count'; true when all of them were.
local function take(count)
    local entries = redis.call('XRANGE', name .. 'o', last and '(' .. last or '-', '+', 'COUNT',
        count)
    for _, entry in ipairs(entries) do
        local at = {}
        for i = 1, #entry[2], 2 do
            at[entry[2][i]] = entry[2][i + 1]
        end
        if bytes <= tonumber(ARGV[3]) and tonumber(at.t) >= wall - tonumber(ARGV[4]) then
            return false
        end
        bytes, trimmed, last = bytes - #at.e - 64, trimmed + tonumber(at.s), entry[1]
    end
    return #entries == count
end

-- One alone first: mostly nothing is due, and many entries are dear to look at.
local more = take(1) and take(ENTRIES)
if last then
    -- Behind the last one: sequence numbers go on, so that the id is the next possible one.
    local epoch, seq = last:match('^(%d+)-(%d+)$')
    redis.call('XTRIM', name .. 'o', 'MINID', epoch .. '-' .. string.format('%d', seq + 1))
    redis.call('HSET', name .. 'm', 'bytes', string.format('%d', bytes))
end
return {trimmed, string.format('%d', bytes), producers, more and 1 or 0}
