-- apply.lua - one message on all the lanes it touches, in one step (RELIABILITY 3.1 - 3.5).
--
--     JUDGE each part ─► LOAD keys ─► clock ─► RUN each part
--     everything that can fail        the first write, then nothing fails
--
-- One increment alone, as most messages are where little is counted, goes a short way (apply_one.lua) as
-- long as nothing is out of the ordinary. The rules of a lane stand once, in lane_*.lua, for both ways.
--
-- The same rules as core/apply.c, and equal answers, events and windows. Redis undoes nothing when
-- a script fails, so all that can fail is looked at before the first write: the lane's epoch, the
-- stream behind the lane's sequence, the types of all keys of ours. A command that alone fails
-- cleanly (INCRBY) may fail later; its operation is refused, the others stand.
--
-- Lua's numbers are doubles: values and deltas are strings, added by INCRBY and never here. Only
-- times, sequence and message numbers are numbers: they stay far below 2^53.
--
-- What differs between a standalone Redis and a Cluster is in layout_*.lua and keys_*.lua;
-- tools/embed_lua puts one of each in the places of @layout and @keys.
--
-- KEYS  see there.
-- ARGV  1 producer, 32 hex digits   2 number
--       3 "c": one event per counter where the rules allow; "s": one per operation; then "t": what only
--         reads writes as well (core/ack.h)
--       4 MessagePack, which makes numbers of numbers: number, issued_ms, key ttl in ms, the most bytes of
--         a lane's outbox: with consumers behind by that, it takes no more; then for each part the
--         lane's tag, epoch, items, writes, its way; then
--         way 2, it only reads: for each item
--           counter    on a Cluster only
--         way 1, as nothing in it needs a look at anything but its counter:
--           events     their text for string.format, with the values left out
--           indexes    of all its increments: "3,9,12"
--           deltas     of each increment of several operations: "1,1,1;5,2"
--           each       the argument of all items, "" if they differ
--           then for each item
--             argument   the delta or the sum of deltas; "" is a get; unless all have the same
--             counter    on a Cluster only
--         way 0, for each item
--           kind 0 add, 1 set, 2 reset, 3 get, 4 add of several operations of one sign;
--                8 more: another item has the same counter
--           argument   the delta or the sum of deltas, the new value
--           indexes    of its operations in the message: "3"; kind 4: "3,9,12"
--           extra      kind 4: the deltas "1,1,1"; with a key: bucket and field of its record
--           counter    on a Cluster only
--       on a Cluster the last one is the store's id
--       One increment without a client's key, alone in its message, has instead of 4, all as text:
--       4 issued_ms   5 the most bytes of a lane's outbox   6 the lane's tag   7 epoch   8 delta
--       9 its index in the message   10 its event, as of way 1   11 counter, on a Cluster only
--
-- Reply: the store's clock, then two for each part:
--   writes  "" the part has none; "A" likewise, but the message is aged: its reads count if another
--           lane knows it (on a Cluster only); "O" too old; "F" the outbox is full; "N" or "R"
--           (applied now or earlier) and the record:
--           format, "c" or "s", how many operations, et, then of format 2 a MessagePack array of the
--           values behind its items, all increments; of format 1 an answer for each item:
--             42       the value           !42      past int64, the value stays
--             x        another payload     =42@17   the key's first answer and its time
--             ?        not an integer      ~a;b     kind 4, one by one
--   reads   for each get " 42" (as it is stored), " _" (never written) or " ?" (not one word)
-- Error replies: HGPEPOCH the lane isn't (any more) as the caller thinks; HGPDAMAGED; HGPMOVING the
-- slot is being moved, with records this call needs: none of them has changed anything; HGPHALTED:
-- increments stand without their events, the lane takes no more.

-- Every local that a closure takes from outside costs each call of the script as much as ten lookups
-- of a global: so only what loops need is one. Constants are none (tools/embed_lua).
local call, pcall_ = redis.call, redis.pcall

local WINDOW = 64 -- core/message.h
local MAX_AGE_MS, MAX_AHEAD_MS = 60000, 300000
local EXACT = 9007199254740992 -- 2^53: below it a double is the integer it stands for
local MANY_MAX = 1000 -- so many values Lua takes as arguments at once
local DIGITS_MAX = 20 -- of an int64, its sign included
local ITEMS, PLAIN, READS = 0, 1, 2 -- ways

local producer, number_text = ARGV[1], ARGV[2]
local number, issued, outbox_max, packed
if ARGV[6] then -- one alone
    number, issued, outbox_max = tonumber(number_text), tonumber(ARGV[4]), tonumber(ARGV[5])
else
    packed = cmsgpack.unpack(ARGV[4])
    number, issued, outbox_max = packed[1], packed[2], packed[4]
end

-- @layout

-- ---- the store's clock ----

local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
local wall_text = string.format('%d', wall)
-- It never goes back, or a corrected wall clock would make producers' windows forgotten early and
-- new messages older than what is forgotten.
local clock_text = call('HGET', CLOCK, 'clock')
local clock = tonumber(clock_text or -1)
if wall > clock then
    clock, clock_text = wall, wall_text
end

local slot_field = producer .. ':' .. string.format('%d', number % WINDOW)
local producer_field = 'p:' .. producer
local aged = issued < clock - MAX_AGE_MS or issued > clock + MAX_AHEAD_MS

-- @apply_one

-- @keys

local how, touching = string.sub(ARGV[3], 1, 1), string.sub(ARGV[3], 2) == 't'
local ttl = packed[3]

local function damaged(what)
    return redis.error_reply('HGPDAMAGED ' .. what)
end

-- ---- judge ----

local any_known = false

local function judge(part)
    local meta, epoch = part.name .. 'm', part.epoch
    if part.writes == 0 then
        local m = pcall_('HMGET', meta, 'epoch', 'store')
        -- @lane_epoch
        return
    end
    local windows, outbox = part.name .. 'w', part.name .. 'o'
    -- @lane_judge
    part.seq, part.seq_text, part.chain, part.bytes = seq, seq_text, chain, bytes
    part.highest, part.active, part.fate, part.now_text = highest, active, fate, now_text
    any_known = any_known or known
end

-- ---- reads: the caller looks whether they are integers ----

-- Two words would be taken for two answers, and a stored "_" for a counter never written. Nor does
-- anybody want what is longer than an integer.
local function word(text)
    return (#text > DIGITS_MAX or string.find(text, ' ', 1, true)) and '?' or text
end

local function read(key)
    local text = stored(key)
    if not text then
        return '_'
    end
    return (type(text) == 'table' or text == '_') and '?' or word(text)
end

-- @apply_items

local items_made

local function items_way()
    items_made = items_made or make_items_way({coalesce = how == 'c', ttl = ttl, clock = clock,
        packed = packed, damaged = damaged, stored = stored, read = read, increased = increased,
        counter_key = counter_key, counter_id = counter_id, replace = replace,
        ITEM = STRINGS[ITEMS]})
    return items_made
end

-- ---- run ----

-- 'answers': of each item that writes, as the record's format wants them.
local function store(part, answers)
    local name, epoch, format, writes = part.name, part.epoch, part.format, part.writes
    local meta, windows, outbox = name .. 'm', name .. 'w', name .. 'o'
    local seq, seq_text, chain, bytes = part.seq, part.seq_text, part.chain, part.bytes
    local highest, active, now_text = part.highest, part.active, part.now_text
    local count, events, indexes = part.events_count, part.events, part.indexes
    -- @lane_store
    if part.keys then
        call('HSET', meta, 'generation', part.keys.generation, 'began', part.keys.began, 'ttl',
            part.keys.ttl)
    end
    return 'N' .. record
end

local function run_reads(part)
    local texts = stored_all(part)
    for i = 1, part.items do
        local text = texts[i]
        if not text or text == '_' then
            texts[i] = read(counter_key(part.key + i, part.from + i - 1))
        end
    end
    local reads = table.concat(texts, ' ')
    local _, blanks = string.gsub(reads, ' ', '')
    if blanks >= part.items or #reads > (DIGITS_MAX + 1) * part.items then -- one isn't ours
        for i = 1, part.items do
            texts[i] = word(texts[i])
        end
        reads = table.concat(texts, ' ')
    end
    return '', ' ' .. reads
end

-- What almost all that writes is: INCRBY for each, and all texts made at once at the end. As soon as
-- an increment gives no exact number, what is left goes the other way.
local function run_plain(part, fresh)
    local values, reads, at, each = {}, {}, part.from, part.each
    local count = 0
    for i = 1, part.items do
        local arg = each or packed[at]
        local key = counter_key(part.key + i, each and at or at + 1)
        if arg == '' then
            reads[#reads + 1] = ' ' .. read(key)
        elseif fresh then
            local value = outcome or increased(key, arg)
            if type(value) ~= 'number' or value >= EXACT or value <= -EXACT then
                return items_way().unfold(part, values, reads, i, value)
            end
            count = count + 1
            values[count] = value
        end
        at = at + part.stride
    end
    if not fresh then
        return '', table.concat(reads)
    end
    part.events_count, part.format = count, '2'
    part.events = string.format(part.template, unpack(values))
    return cmsgpack.pack(values), table.concat(reads)
end

local function run(part)
    if part.way == READS then
        return run_reads(part)
    end
    local fresh = part.fate == 'N'
    local answers, reads = (part.way == PLAIN and run_plain or items_way().run)(part, fresh)
    if not fresh then
        return part.fate, reads
    end
    return store(part, answers), reads
end

-- ---- the message ----

local parts, at, key = {}, 5, 0
local writes = 0
while packed[at] do
    -- All fields at once: a table that grows is made again and again.
    local part = {name = 'hgp:{' .. packed[at] .. '}:', epoch = packed[at + 1],
        items = packed[at + 2], writes = packed[at + 3], way = packed[at + 4],
        from = at + 5, key = key, fate = '', seq = 0, seq_text = '', chain = '',
        bytes = 0, highest = 0, active = -1, now_text = '', keys = false,
        one_by_one = false, last = false, events = false, indexes = false, events_count = 0,
        template = '', deltas = '', each = false, stride = STRINGS[packed[at + 4]], format = '1'}
    if part.way == PLAIN then
        part.template, part.indexes, part.deltas = packed[at + 5], packed[at + 6], packed[at + 7]
        part.from = at + 9
        if packed[at + 8] ~= '' then
            part.each, part.stride = packed[at + 8], part.stride - 1
        end
    end
    local err = judge(part)
    if err then
        return err
    end
    writes = writes + part.writes
    parts[#parts + 1] = part
    at, key = part.from + part.stride * part.items, key + part.items
end

local reply = {clock_text}
-- Too old and in no window: refused as a whole, its reads too. A replay is safe, however late.
if aged and not any_known and (writes > 0 or not CLUSTER) then
    for i = 1, #parts do
        reply[2 * i], reply[2 * i + 1] = 'O', ''
    end
    return reply
end

for _, part in ipairs(parts) do
    local err = part.way == ITEMS and part.fate == 'N' and items_way().load_keys(part)
    if err then
        return err
    end
end

if (writes > 0 or touching) and not outcome then
    -- @first_write
end

for i, part in ipairs(parts) do
    if part.fate == 'O' then
        reply[2 * i], reply[2 * i + 1] = 'O', ''
    else
        local answers, reads = run(part)
        if type(answers) == 'table' then
            return answers
        end
        if aged and part.writes == 0 and CLUSTER then
            answers = 'A'
        end
        reply[2 * i], reply[2 * i + 1] = answers, reads
    end
end
return reply
