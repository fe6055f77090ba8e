-- outbox_entry.lua - part of recover.lua and tidy.lua: what one entry of a lane's outbox holds.
--
-- t  event time in ms    c  the chain up to it    p, n  producer and number of its message
-- s  how many events     e  their text (edge/redis_outbox.c reads it)

local function fields_of(entry)
    local at = {}
    for i = 1, #entry[2], 2 do
        at[entry[2][i]] = entry[2][i + 1]
    end
    return at
end
