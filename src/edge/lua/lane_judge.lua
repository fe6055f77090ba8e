-- lane_judge.lua - part of apply.lua: what becomes of a message that writes to a lane. Looks at all that
-- can fail there, and writes nothing.
--
-- Takes    meta, windows, outbox, the lane's keys; epoch
-- Gives    seq, seq_text, chain, bytes, highest, active: of the lane and of the producer in it
--          fate: "O", "F", "R" and the record of one that is known, or "N" with now_text, its time
-- Returns  an error from where it stands

local m = pcall_('HMGET', meta, 'epoch', 'store', 'seq', 'chain', 'et', 'forgotten', 'bytes',
    producer_field)
-- @lane_epoch
local seq, seq_text, chain, bytes = tonumber(m[3]), m[3], m[4], tonumber(m[7])
local et, forgotten = tonumber(m[5]), tonumber(m[6])
local highest, active = 0, -1
if m[8] then
    highest, active = string.match(m[8], '^(%d+) (%d+)$')
    highest, active = tonumber(highest), tonumber(active)
end
if not (seq and chain and et and forgotten and bytes and highest) then
    return redis.error_reply('HGPDAMAGED ' .. meta)
end
local slot = pcall_('HGET', windows, slot_field)
if slot and slot.err then
    return redis.error_reply('HGPDAMAGED ' .. windows)
end

local fate, now_text, known = 'N', nil, false
local mine = number_text .. ' '
if number <= highest - WINDOW then
    fate = 'O'
elseif slot and string.sub(slot, 1, #mine) == mine then
    fate, known = 'R' .. string.sub(slot, #mine + 1), true
elseif aged or issued <= forgotten then
    fate = 'O'
elseif bytes >= outbox_max and (call('HGET', meta, 'consumers') or '0') ~= '0' then
    fate = 'F' -- an outbox is full only where somebody waits for what is in it
end
if fate == 'N' then
    -- An XADD refused at the end would leave the increments: nothing may lie behind the sequence.
    local behind = pcall_('XREVRANGE', outbox, '+', '(' .. epoch .. '-' .. seq_text, 'COUNT', '1')
    if behind.err or #behind > 0 then
        return redis.error_reply('HGPDAMAGED ' .. outbox)
    end
    now_text = wall > et and wall_text or string.format('%d', et)
end
