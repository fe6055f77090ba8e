-- keys_standalone.lua - where apply.lua finds counters on a standalone Redis: Phase 1's strings.
--
-- KEYS  the counter of each item, in their order.

local STRINGS = {[ITEMS] = 4, [PLAIN] = 1, [READS] = 0} -- in ARGV[4] for each item of such a part

local function counter_key(n) return KEYS[n] end
local function counter_id(key) return string.sub(key, 9) end -- behind "counter:"
local function stored(key) return pcall_('GET', key) end
local function increased(key, delta) return pcall_('INCRBY', key, delta) end
local function replace(key, value) call('SET', key, value, 'KEEPTTL') end

-- The texts behind a part's counters: nothing where MGET says nothing, which is of one never written
-- and of another type; or of all, where our user may not MGET.
local function stored_all(part)
    local texts = part.items <= MANY_MAX and
        pcall_('MGET', unpack(KEYS, part.key + 1, part.key + part.items))
    return texts and not texts.err and texts or {}
end
