-- recover.lua - brings one lane forward that has gone back behind its own events (core/rewind.h), in
-- one step: counters, the events that are given out anew, a new epoch. Everything is looked at before
-- anything is written.
--
-- Whoever counted into the lane before is refused from now on: it knows another epoch, and what was
-- issued before this moment is too old.
--
-- KEYS  1 the lane's meta   2 its outbox   3 what has the store's clock   4... where each counter is
-- ARGV  1, 2 epoch and number of its last event, as they were read   3 number of the last event that
--       stays   4 the new epoch   5 its last number, 0: no event   6 the latest event time
--       7 how many counters; then for each: its field of a hash, "" if it is a string; the value that
--         was read, "" none; the new value
--       behind them for each entry: the number of its last event, event time, how many, their text
-- Reply: 1; 0 if it has been done before.
-- Error replies: HGPEPOCH the lane, or a counter, isn't as it was read; HGPDAMAGED.

local call = redis.call
local m = call('HMGET', KEYS[1], 'epoch', 'seq', 'chain', 'et', 'bytes', 'forgotten')

if m[1] == ARGV[4] and m[2] == ARGV[5] then
    return 0
end
if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then
    return redis.error_reply('HGPEPOCH ' .. KEYS[1] .. ' has come to ' .. (m[1] or 'none') .. '-' ..
        (m[2] or 'none') .. ' meanwhile')
end

local counters = tonumber(ARGV[7])
for i = 1, counters do
    local at = 7 + 3 * (i - 1)
    local value
    if ARGV[at + 1] == '' then
        value = redis.pcall('GET', KEYS[3 + i])
    else
        value = redis.pcall('HGET', KEYS[3 + i], ARGV[at + 1])
    end
    if value and value.err then
        return redis.error_reply('HGPDAMAGED ' .. KEYS[3 + i])
    end
    if (value or '') ~= ARGV[at + 2] then
        return redis.error_reply('HGPEPOCH ' .. KEYS[3 + i] .. ' was changed meanwhile')
    end
end

-- @outbox_entry

-- ---- what goes ----

local gone = call('XRANGE', KEYS[2], '(' .. ARGV[1] .. '-' .. ARGV[3], '+')
local bytes = tonumber(m[5])
for n, entry in ipairs(gone) do
    local at = fields_of(entry)
    local last = tonumber(entry[1]:match('-(%d+)$'))
    if n == 1 and last - tonumber(at.s) < tonumber(ARGV[3]) then
        return redis.error_reply('HGPDAMAGED ' .. KEYS[2] .. ': ' .. entry[1] .. ' begins too early')
    end
    bytes = bytes - #at.e - 64
end
for _, entry in ipairs(gone) do
    call('XDEL', KEYS[2], entry[1])
end

-- ---- what comes ----

for i = 1, counters do
    local at = 7 + 3 * (i - 1)
    if ARGV[at + 1] == '' then
        call('SET', KEYS[3 + i], ARGV[at + 3], 'KEEPTTL')
    else
        call('HSET', KEYS[3 + i], ARGV[at + 1], ARGV[at + 3])
    end
end
for at = 7 + 3 * counters, #ARGV - 1, 4 do
    call('XADD', KEYS[2], ARGV[4] .. '-' .. ARGV[at + 1], 't', ARGV[at + 2], 'c', m[3],
        'p', string.rep('0', 32), 'n', '0', 's', ARGV[at + 3], 'e', ARGV[at + 4])
    bytes = bytes + #ARGV[at + 4] + 64
end

local time = call('TIME')
local clock = math.max(time[1] * 1000 + math.floor(time[2] / 1000),
    tonumber(call('HGET', KEYS[3], 'clock') or -1))
call('HSET', KEYS[1], 'epoch', ARGV[4], 'seq', ARGV[5], 'bytes', string.format('%d', bytes),
    'et', string.format('%d', math.max(tonumber(m[4]), tonumber(ARGV[6]))),
    'forgotten', string.format('%d', math.max(tonumber(m[6]), clock)))
return 1
