-- lane_store.lua - part of apply.lua: a message's events, its record in the window, the lane's meta.
--
-- Takes    meta, windows, outbox, epoch and all that lane_judge.lua gives; format, writes and answers of
--          the record; count, events and indexes, of increments and other writes
-- Gives    record
-- Returns  an error from where it stands

if count > 0 then
    seq_text = string.format('%d', seq + count)
    chain = string.sub(redis.sha1hex(chain .. ' ' .. producer .. ' ' .. number_text .. ' ' .. indexes),
        1, 16)
    local done = pcall_('XADD', outbox, epoch .. '-' .. seq_text, 't', now_text, 'c', chain,
        'p', producer, 'n', number_text, 's', count == 1 and '1' or count, 'e', events)
    if done.err then
        -- Against all that was looked at: increments stand without their events. No more of this lane.
        call('HSET', meta, 'epoch', 'halted', 'halted', done.err)
        return redis.error_reply('HGPHALTED ' .. outbox .. ': ' .. done.err)
    end
    bytes = bytes + #events + 64
end
local record = format .. how .. ' ' .. writes .. ' ' .. now_text .. ' ' .. answers
active = math.max(active, issued, clock)
active = active == clock and clock_text or string.format('%d', active)
call('HSET', windows, slot_field, number_text .. ' ' .. record)
call('HSET', meta, 'seq', seq_text, 'chain', chain, 'et', now_text, 'bytes',
    string.format('%d', bytes), producer_field,
    (number > highest and number_text or string.format('%d', highest)) .. ' ' .. active)
