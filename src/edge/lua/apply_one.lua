-- apply_one.lua - part of apply.lua: one increment alone. Before functions and tables are made, which
-- every call makes anew and which would be a quarter of what it costs.
--
-- Only what is new and comes to a number that Lua can tell exactly is done here to the end. All else goes
-- on behind it: refused or known, it is judged once more, as nothing has been written; and if the counter
-- has taken the increment, or refused it, that is the 'outcome'.

local outcome
if ARGV[6] then
    local name, epoch = 'hgp:{' .. ARGV[6] .. '}:', ARGV[7]
    local meta, windows, outbox = name .. 'm', name .. 'w', name .. 'o'
    -- @lane_judge
    if fate == 'N' then
        -- @first_write
        local value
        if CLUSTER then
            value = pcall_('HINCRBY', KEYS[4], ARGV[11], ARGV[8])
        else
            value = pcall_('INCRBY', KEYS[1], ARGV[8])
        end
        if type(value) == 'number' and value < EXACT and value > -EXACT then
            local how, format, writes = ARGV[3], '2', '1'
            local answers = '\145' .. cmsgpack.pack(value) -- an array of one
            local count, events, indexes = 1, string.format(ARGV[10], value), ARGV[9]
            -- @lane_store
            return {clock_text, 'N' .. record, ''}
        end
        outcome = value
    end
    -- As if it had come so; of what stands before the part only the keys' ttl is asked for, and it has none.
    packed = {0, 0, 0, 0, ARGV[6], epoch, 1, 1, PLAIN, ARGV[10], ARGV[9], '', ARGV[8], ARGV[11]}
end
