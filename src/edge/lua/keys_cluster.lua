-- keys_cluster.lua - where apply.lua finds counters on a Redis Cluster: they are fields of the lane's
-- hashes, all in its slot.
--
-- All keys are declared, but for clients' key records: so a call in a slot that is being moved is
-- refused (TRYAGAIN, ASK) unless this node has all of them.
--
-- KEYS  the lane's meta, windows and outbox, then the hash of each item's counter, in their order.

-- Strings in ARGV[4] for each item of such a part: the last is its field in that hash.
local STRINGS = {[ITEMS] = 5, [PLAIN] = 2, [READS] = 1}
local homes = {}

local function counter_key(n, field_at)
    local field = packed[field_at]
    homes[field] = KEYS[3 + n]
    return field
end

local function counter_id(key) return key end
local function stored(key) return pcall_('HGET', homes[key], key) end
local function increased(key, delta) return pcall_('HINCRBY', homes[key], key, delta) end
local function replace(key, value) call('HSET', homes[key], key, value) end

-- Each is in a hash of its own.
local function stored_all() return {} end
