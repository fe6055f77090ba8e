-- keys_standalone.lua - where apply.lua finds things on a standalone Redis: Phase 1's strings, one
-- clock for the whole store, all lanes of a message in one call.
--
-- KEYS  the counter of each item, in their order.

local ITEM, PLAIN = 4, 1 -- strings in ARGV[6] for each item, and for each of a plain part
local CLOCK = 'hgp:meta'
local STORE = nil -- looked at once for each connection
local ONE_OF_SEVERAL = false -- this call is the whole message

local function counter_key(n) return KEYS[n] end
local function counter_id(key) return sub(key, 9) end -- behind "counter:"
local function stored(key) return pcall_('GET', key) end
local function increased(key, delta) return pcall_('INCRBY', key, delta) end
local function replace(key, value) call('SET', key, value, 'KEEPTTL') end
