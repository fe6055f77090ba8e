-- tidy.lua - one lane's housekeeping: forgets silent producers (RELIABILITY 3.2), takes a consumer's
-- report, trims the outbox (3.6): what every consumer has reported and nothing else, or, where none
-- is registered (consumer.lua), by age and bytes.
--
-- KEYS  on a Cluster: the lane's meta, windows and outbox; its clock is in the first
-- ARGV  1 the lane's tag   2 epoch   3 the most bytes of this lane's outbox   4 the most age in ms
--       5 the name of the consumer that reports, if any   6, 7 epoch and number of the last event
--         that it is done with
-- Reply: events trimmed, bytes left, producers left, 1 if more entries may be due: a call takes
-- ENTRIES at most; how many consumers there are.
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

-- ---- consumers ----

local function position(text)
    local epoch, seq = text:match('^(%d+) (%d+)$')
    return {tonumber(epoch), tonumber(seq)}
end

local function before(a, b)
    return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2])
end

-- It only rises: a report may be late, or come from an instance that has been replaced. One that
-- was forgotten meanwhile is registered again. One beyond the lane's end is of events that Redis has
-- lost since (docs/recover.md): others get their numbers, and it would trim those unread.
local lane_end = {tonumber(m.epoch), tonumber(m.seq)}
if ARGV[5] and not before(lane_end, {tonumber(ARGV[6]), tonumber(ARGV[7])}) then
    local field, at = 'c:' .. ARGV[5], ARGV[6] .. ' ' .. ARGV[7]
    if not m[field] then
        m.consumers = string.format('%d', (m.consumers or 0) + 1)
        redis.call('HSET', name .. 'm', 'consumers', m.consumers)
    end
    if not m[field] or before(position(m[field]), position(at)) then
        m[field] = at
        redis.call('HSET', name .. 'm', field, at)
    end
end

local floor -- the lowest of all
for field, value in pairs(m) do
    local at = field:sub(1, 2) == 'c:' and position(value)
    if at and (not floor or before(at, floor)) then
        floor = at
    end
end

-- ---- the outbox ----

local bytes, trimmed, last = tonumber(m.bytes), 0, nil

-- @outbox_entry

local function due(id, at)
    if floor then
        return not before(floor, position((id:gsub('-', ' '))))
    end
    return bytes > tonumber(ARGV[3]) or tonumber(at.t) <= wall - tonumber(ARGV[4])
end

-- Takes what is due off the oldest 'count'; true when all of them were.
local function take(count)
    local entries = redis.call('XRANGE', name .. 'o', last and '(' .. last or '-', '+', 'COUNT',
        count)
    for _, entry in ipairs(entries) do
        local at = fields_of(entry)
        if not due(entry[1], at) then
            return false
        end
        bytes, trimmed, last = bytes - #at.e - 64, trimmed + tonumber(at.s), entry[1]
    end
    return #entries == count
end

-- Everybody has everything, which is the rule while consumers keep up: no need to look at each.
local function take_all()
    local first = redis.call('XRANGE', name .. 'o', '-', '+', 'COUNT', '1')[1]
    if first then
        local first_last = position((first[1]:gsub('-', ' ')))[2]
        trimmed = math.max(0, tonumber(m.seq) - first_last + tonumber(fields_of(first).s))
        bytes, last = 0, m.epoch .. '-' .. m.seq
    end
end

local more = false
if floor and not before(floor, lane_end) then
    take_all()
else
    -- One alone first: mostly nothing is due, and many entries are dear to look at.
    more = take(1) and take(ENTRIES)
end
if last then
    -- Behind the last one: sequence numbers go on, so that the id is the next possible one.
    local epoch, seq = last:match('^(%d+)-(%d+)$')
    redis.call('XTRIM', name .. 'o', 'MINID', epoch .. '-' .. string.format('%d', seq + 1))
    redis.call('HSET', name .. 'm', 'bytes', string.format('%d', bytes))
end
return {trimmed, string.format('%d', bytes), producers, more and 1 or 0, tonumber(m.consumers or 0)}
