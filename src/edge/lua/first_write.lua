-- first_write.lua - part of apply.lua: whatever refuses all writes (OOM, READONLY, MISCONF) does it here,
-- before anything counts; and a duplicate writes too, so that a WAIT behind it covers the original.
--
-- Returns  an error from where it stands

local clocked = pcall_('HSET', CLOCK, 'clock', clock_text)
if type(clocked) == 'table' then
    return clocked
end
