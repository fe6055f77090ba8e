-- lease.lua - which of a consumer's instances reads which lanes: liveness only, as events that two
-- of them send carry the same numbers (RELIABILITY 3.6).
--
-- An instance that has been silent for the lease's time is gone, and what it had is free. Each of
-- those alive gets its share of the groups, those with too many give some back.
--
-- KEYS  the consumer's leases: a hash, i:<instance> = until when it is alive, g:<group> = instance
-- ARGV  1 the instance   2 how many groups there are   3 the lease in ms
--       4 "renew"; "keep": likewise, and what an instance has had once stays its own, dead or alive,
--         as it has state that no other has; "leave" or "rest": it ends, and gives its groups back or
--         not; "look" changes nothing; "forget" all of them
-- Reply: the groups that are this instance's; to "look" how many other instances are alive.

local key, me, groups = KEYS[1], ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fields = redis.call('HGETALL', key)
local owner, alive, instances, mine = {}, {}, 0, {}

for i = 1, #fields, 2 do
    local kind, name, value = fields[i]:sub(1, 2), fields[i]:sub(3), fields[i + 1]
    if kind == 'g:' then
        owner[tonumber(name)] = value
    elseif name ~= me and tonumber(value) > now then
        alive[name], instances = true, instances + 1
    elseif ARGV[4] ~= 'look' and (name ~= me or ARGV[4] == 'leave' or ARGV[4] == 'rest') then
        redis.call('HDEL', key, fields[i])
    end
    if ARGV[4] == 'forget' then
        redis.call('HDEL', key, fields[i])
    end
end
if ARGV[4] == 'look' or ARGV[4] == 'forget' then
    return instances
end
if ARGV[4] == 'rest' then
    return {}
end

local function give(group)
    redis.call('HDEL', key, 'g:' .. string.format('%d', group))
end

for group = 0, groups - 1 do
    if owner[group] == me then
        mine[#mine + 1] = group
    end
end
if ARGV[4] == 'leave' then
    for _, group in ipairs(mine) do
        give(group)
    end
    return {}
end

redis.call('HSET', key, 'i:' .. me, string.format('%d', now + ARGV[3]))
local share = math.ceil(groups / (instances + 1))
while #mine > share do
    give(table.remove(mine))
end
for group = 0, groups - 1 do
    local free = not owner[group] or (ARGV[4] == 'renew' and not alive[owner[group]])
    if #mine < share and owner[group] ~= me and free then
        redis.call('HSET', key, 'g:' .. string.format('%d', group), me)
        mine[#mine + 1] = group
    end
end
return mine
