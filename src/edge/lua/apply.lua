-- apply.lua - one message on all the lanes it touches, in one step (RELIABILITY 3.1 - 3.5).
--
--     JUDGE each part ─► LOAD keys ─► clock ─► RUN each part
--     everything that can fail        the first write, then nothing fails
--
-- The same rules as core/apply.c, and equal answers, events and windows. Redis undoes nothing when
-- a script fails, so all that can fail is looked at before the first write: the lane's epoch, the
-- stream behind the lane's sequence, the types of all keys of ours. A command that alone fails
-- cleanly (INCRBY) may fail later; its operation is refused, the others stand.
--
-- Lua's numbers are doubles: values and deltas are strings, added by INCRBY and never here. Only
-- times, sequence and message numbers are numbers: they stay far below 2^53.
--
-- What differs between a standalone Redis and a Cluster is in keys_standalone.lua and
-- keys_cluster.lua; tools/embed_lua puts one of them in the place of @keys.
--
-- KEYS  see there.
-- ARGV  1 producer, 32 hex digits   2 number   3 issued_ms   4 key ttl in ms
--       5 "c": one event per counter where the rules allow; "s": one per operation; then "t": what only
--         reads writes as well (core/ack.h)
--       6 MessagePack: for each part the lane's tag, epoch, items, writes, then for each item
--           kind 0 add, 1 set, 2 reset, 3 get, 4 add of several operations of one sign;
--                8 more: another item has the same counter
--           argument   the delta or the sum of deltas, the new value
--           indexes    of its operations in the message: "3"; kind 4: "3,9,12"
--           extra      kind 4: the deltas "1,1,1"; with a key: bucket and field of its record
--           counter    on a Cluster only
--       7 the most bytes of a lane's outbox: with consumers behind by that, it takes no more
--
-- Reply: the store's clock, then two strings for each part:
--   writes  "" the part has none; "A" likewise, but the message is aged: its reads count if another
--           lane knows it (on a Cluster only); "O" too old; "F" the outbox is full; "N" or "R"
--           (applied now or earlier) and the record:
--           format, "c" or "s", how many operations, et, an answer for each item:
--             42       the value           !42      past int64, the value stays
--             x        another payload     =42@17   the key's first answer and its time
--             ?        not an integer      ~a;b     kind 4, one by one
--   reads   for each get " 42", " _" (never written) or " ?"
-- Error replies: HGPEPOCH the lane isn't (any more) as the caller thinks; HGPDAMAGED; HGPMOVING the
-- slot is being moved, with records this call needs: none of them has changed anything; HGPHALTED:
-- increments stand without their events, the lane takes no more.

local call, pcall_ = redis.call, redis.pcall
local sub, find, format, match = string.sub, string.find, string.format, string.match
local concat = table.concat

local WINDOW = 64 -- core/message.h
local MAX_AGE_MS, MAX_AHEAD_MS = 60000, 300000
local EXACT = 9007199254740992 -- 2^53: below it a double is the integer it stands for
local ADD, SET, RESET, GET, ADD_MANY, SHARED = 0, 1, 2, 3, 4, 8

local producer, number_text, ttl = ARGV[1], ARGV[2], tonumber(ARGV[4])
local how, touching = sub(ARGV[5], 1, 1), sub(ARGV[5], 2) == 't'
local coalesce = how == 'c'
local number, issued = tonumber(number_text), tonumber(ARGV[3])
local packed = cmsgpack.unpack(ARGV[6])
local outbox_max = tonumber(ARGV[7])

-- @keys

local function damaged(what)
    return redis.error_reply('HGPDAMAGED ' .. what)
end

-- ---- the store's clock ----

local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
-- It never goes back, or a corrected wall clock would make producers' windows forgotten early and
-- new messages older than what is forgotten.
local clock = tonumber(call('HGET', CLOCK, 'clock') or -1)
if wall > clock then
    clock = wall
end

-- ---- judge ----

local slot_field = producer .. ':' .. format('%d', number % WINDOW)
local producer_field = 'p:' .. producer
local aged = issued < clock - MAX_AGE_MS or issued > clock + MAX_AHEAD_MS
local any_known = false

-- The part's fate, and the record of one that is known.
local function look(part, slot)
    if number <= part.highest - WINDOW then
        return 'O'
    end
    if slot then
        local in_slot, record = match(slot, '^(%d+) (.*)$')
        if in_slot == number_text then
            any_known = true
            return 'R' .. record
        end
    end
    if aged or issued <= part.forgotten then
        return 'O'
    end
    return part.held and part.bytes >= outbox_max and 'F' or 'N'
end

local function judge(part)
    local m = pcall_('HMGET', part.name .. 'm', 'epoch', 'seq', 'chain', 'et', 'forgotten',
        'generation', 'began', 'ttl', 'bytes', producer_field, 'store', 'consumers')
    if m.err then
        return damaged(part.name .. 'm')
    end
    if m[1] ~= part.epoch then
        return redis.error_reply('HGPEPOCH lane ' .. part.name .. ' has epoch ' .. (m[1] or 'none'))
    end
    if (m[11] or nil) ~= STORE then
        return redis.error_reply('HGPEPOCH lane ' .. part.name .. ' is of store ' ..
            (m[11] or 'none'))
    end
    if part.writes == 0 then
        return
    end
    part.seq, part.chain, part.et = tonumber(m[2]), m[3], tonumber(m[4])
    part.forgotten, part.generation = tonumber(m[5]), tonumber(m[6])
    part.began, part.began_ttl, part.bytes = tonumber(m[7]), tonumber(m[8]), tonumber(m[9])
    part.held = m[12] and m[12] ~= '0'
    if m[10] then
        local highest, active = match(m[10], '^(%d+) (%d+)$')
        part.highest, part.active = tonumber(highest), tonumber(active)
    end
    if not (part.seq and part.chain and part.et and part.forgotten and part.generation and
            part.began and part.began_ttl and part.bytes and part.highest) then
        return damaged(part.name .. 'm')
    end
    local slot = pcall_('HGET', part.name .. 'w', slot_field)
    if slot and slot.err then
        return damaged(part.name .. 'w')
    end
    part.fate = look(part, slot)
    if part.fate ~= 'N' then
        return
    end
    -- An XADD refused at the end would leave the increments: nothing may lie behind the sequence.
    local behind = pcall_('XREVRANGE', part.name .. 'o', '+', '(' .. part.epoch .. '-' ..
        format('%d', part.seq), 'COUNT', '1')
    if behind.err or #behind > 0 then
        return damaged(part.name .. 'o')
    end
end

-- ---- clients' idempotency keys, in two generations (core/key_record.h) ----

-- A lane turns when a key comes by; what it would have had in between is out of reach anyhow.
local function turn(part)
    if part.began_ttl ~= ttl then
        local began = clock - clock % ttl
        if began > part.began then
            part.began = began
        end
        part.began_ttl = ttl
    end
    local age = clock - part.began
    if age >= ttl then
        part.generation = part.generation + (age >= 2 * ttl and 2 or 1)
        part.began = part.began + age - age % ttl
    end
    part.turned = true
end

local function bucket(part, generation, key)
    return part.name .. 'i:' .. format('%d', generation) .. ':' .. sub(key, 1, 4)
end

local function load_key(part, key)
    if not part.turned then
        turn(part)
    end
    part.keys = part.keys or {}
    local field = sub(key, 5)
    for generation = part.generation, part.generation - 1, -1 do
        local record = pcall_('HGET', bucket(part, generation, key), field)
        if record and record.err then
            -- Declared keys are all here, so what isn't may have moved, and what it holds.
            if find(record.err, 'non local key', 1, true) then
                return redis.error_reply('HGPMOVING ' .. bucket(part, generation, key))
            end
            return damaged(bucket(part, generation, key))
        end
        if record then
            part.keys[key] = record
            return
        end
    end
end

-- The record is made at once, so that the same key again in this message finds it.
local function put_key(part, key, arg, value)
    local record = arg .. ' ' .. value .. ' ' .. format('%d', part.now)
    local name = bucket(part, part.generation, key)

    part.keys[key] = record
    call('HSET', name, sub(key, 5), record)
    if call('HLEN', name) == 1 then
        -- Out of reach when the generation after this one ends; an hour more for a clock that
        -- waits.
        call('PEXPIREAT', name, format('%d', part.began + 2 * ttl + 3600000))
    end
end

-- ---- events ----

local function halves(digits)
    if #digits <= 9 then
        return 0, tonumber(digits)
    end
    return tonumber(sub(digits, 1, -10)), tonumber(sub(digits, -9))
end

-- The sum of two deltas of one sign, nil past int64: in decimal halves, each exact in a double.
local function sum(a, b)
    local minus = sub(a, 1, 1) == '-'
    local a_high, a_low = halves(minus and sub(a, 2) or a)
    local b_high, b_low = halves(minus and sub(b, 2) or b)
    local high, low = a_high + b_high, a_low + b_low
    if low >= 1000000000 then
        high, low = high + 1, low - 1000000000
    end
    if high > 9223372036 or (high == 9223372036 and low > (minus and 854775808 or 854775807)) then
        return nil
    end
    return (minus and '-' or '') ..
        (high > 0 and format('%d%09d', high, low) or format('%d', low))
end

local LETTER = {[ADD] = 'a', [SET] = 's', [RESET] = 'r'}

-- "a1 42 5,7 post:like\0": kind, delta (or old value), new value, indexes, id. No id has a zero byte.
local function encode(kind, arg, value, index, key)
    return LETTER[kind] .. arg .. ' ' .. value .. ' ' .. index .. ' ' .. counter_id(key) .. '\0'
end

-- An increment without a key joins the counter's latest event if that is one too, of its sign.
local function may_join(event, kind, keyed, arg)
    return coalesce and event and kind == ADD and event.kind == ADD and not keyed and
        not event.keyed and (sub(arg, 1, 1) == '-') == (sub(event.arg, 1, 1) == '-')
end

local function join(event, kind, keyed, arg, value, index)
    local total = may_join(event, kind, keyed, arg) and sum(event.arg, arg)
    if not total then
        return false
    end
    event.arg, event.value, event.index = total, value, event.index .. ',' .. index
    return true
end

-- 'arg': an add's delta; a set's and a reset's old value. An event that another item of its
-- counter may join is text only at the end.
local function add_event(part, kind, key, shared, keyed, arg, value, index)
    local events = part.events
    if not shared then
        part.indexes[#events + 1] = index
        events[#events + 1] = encode(kind, arg, value, index, key)
    elseif not join(part.last[key], kind, keyed, arg, value, index) then
        local event = {kind = kind, key = key, keyed = keyed, arg = arg, value = value,
            index = index}
        part.last[key] = event
        part.indexes[#events + 1] = false
        events[#events + 1] = event
    end
end

-- An event stands where its first operation was. Only an add of several that went one by one may
-- have begun its event behind where it stood itself.
local function sort_events(part)
    local order, first, events, indexes = {}, {}, {}, {}
    for at = 1, #part.events do
        order[at], first[at] = at, tonumber(match(part.indexes[at], '^%d+'))
    end
    table.sort(order, function(a, b) return first[a] < first[b] end)
    for at, from in ipairs(order) do
        events[at], indexes[at] = part.events[from], part.indexes[from]
    end
    part.events, part.indexes = events, indexes
end

local function finish_events(part)
    for at, event in ipairs(part.events) do
        if type(event) == 'table' then
            part.events[at] = encode(event.kind, event.arg, event.value, event.index, event.key)
            part.indexes[at] = event.index
        end
    end
    if part.one_by_one then
        sort_events(part)
    end
end

local function append(part)
    finish_events(part)
    local events = concat(part.events)
    part.seq = part.seq + #part.events
    part.chain = sub(redis.sha1hex(part.chain .. ' ' .. producer .. ' ' .. number_text .. ' ' ..
        concat(part.indexes, ',')), 1, 16)
    local id = part.epoch .. '-' .. format('%d', part.seq)
    local done = pcall_('XADD', part.name .. 'o', id, 't', format('%d', part.now), 'c', part.chain,
        'p', producer, 'n', number_text, 's', format('%d', #part.events), 'e', events)
    if done.err then
        -- Against all the above: increments stand without their events. No more of this lane.
        call('HSET', part.name .. 'm', 'epoch', 'halted', 'halted', done.err)
        return redis.error_reply('HGPHALTED ' .. part.name .. 'o: ' .. done.err)
    end
    part.bytes = part.bytes + #events + 64
end

-- ---- operations ----

-- The value behind it as a string, or nil and the answer.
local function add(key, delta)
    local value = increased(key, delta)
    if type(value) == 'number' then
        if value > -EXACT and value < EXACT then
            return format('%d', value)
        end
        return stored(key)
    end
    if find(value.err, 'overflow', 1, true) then
        return nil, '!' .. stored(key)
    end
    return nil, '?'
end

local function is_int64(text)
    local minus, digits = match(text, '^(%-?)([1-9]%d*)$')
    if not digits then
        return text == '0'
    end
    if #digits ~= 19 then
        return #digits < 19
    end
    local high, low = halves(digits)
    return high < 9223372036 or
        (high == 9223372036 and low <= (minus == '-' and 854775808 or 854775807))
end

-- What is stored; '' never written, nil what isn't a counter.
local function read(key)
    local text = stored(key)
    if not text then
        return ''
    end
    if text.err or not is_int64(text) then
        return nil
    end
    return text
end

local function write(part, kind, key, shared, arg, index, record_key)
    local value, answer, event_arg = arg, nil, arg
    if kind == ADD then
        value, answer = add(key, arg)
    else
        event_arg = read(key)
        if not event_arg then
            return '?'
        end
        event_arg = event_arg == '' and '0' or event_arg
        replace(key, arg)
    end
    if not value then
        return answer
    end
    add_event(part, kind, key, shared, record_key ~= nil, event_arg, value, index)
    if record_key then
        put_key(part, record_key, arg, value)
    end
    return value
end

local function write_keyed(part, kind, key, shared, arg, index, record_key)
    local record = part.keys[record_key]
    if not record then
        return write(part, kind, key, shared, arg, index, record_key)
    end
    local first_arg, value, time_ms = match(record, '^(%S+) (%S+) (%S+)$')
    return first_arg == arg and '=' .. value .. '@' .. time_ms or 'x'
end

-- Deltas of one sign: where the sum fits each prefix fits, and the caller knows the values between.
-- One by one where it doesn't, or where only some of them fit into the event before.
local function write_many(part, key, shared, total, indexes, deltas)
    local event = part.last[key]
    if not may_join(event, ADD, false, total) or sum(event.arg, total) then
        local value, answer = add(key, total)
        if value then
            add_event(part, ADD, key, shared, false, total, value, indexes)
            return value
        end
        if answer == '?' then
            return answer
        end
    end
    local out, next_index = {}, string.gmatch(indexes, '%d+')
    part.one_by_one = true
    for delta in string.gmatch(deltas, '[^,]+') do
        out[#out + 1] = write(part, ADD, key, true, delta, next_index(), nil)
    end
    return '~' .. concat(out, ';')
end

-- ---- run ----

local function store(part, answers)
    local record = '1' .. how .. ' ' .. format('%d', part.writes) .. ' ' ..
        format('%d', part.now) .. ' ' .. concat(answers, ' ')
    local highest, active = part.highest, math.max(part.active, issued, clock)
    if number > highest then
        highest = number
    end
    call('HSET', part.name .. 'w', slot_field, number_text .. ' ' .. record)
    call('HSET', part.name .. 'm', 'seq', format('%d', part.seq), 'chain', part.chain,
        'et', format('%d', part.now), 'bytes', format('%d', part.bytes),
        producer_field, format('%d %d', highest, active))
    if part.turned then
        call('HSET', part.name .. 'm', 'generation', format('%d', part.generation),
            'began', format('%d', part.began), 'ttl', format('%d', part.began_ttl))
    end
    return 'N' .. record
end

local function run(part)
    local answers, reads = {}, {}
    local at, fresh = part.from, part.fate == 'N'
    part.now = fresh and math.max(part.et, wall) or 0
    for i = 1, part.items do
        local kind, key = packed[at], counter_key(part.key + i, at)
        local shared = kind >= SHARED
        if shared then
            kind = kind - SHARED
        end
        if kind == GET then
            local value = read(key)
            reads[#reads + 1] = value == '' and ' _' or ' ' .. (value or '?')
        elseif fresh then
            local arg, index, extra = packed[at + 1], packed[at + 2], packed[at + 3]
            local answer
            if kind == ADD_MANY then
                answer = write_many(part, key, shared, arg, index, extra)
            elseif extra ~= '' then
                answer = write_keyed(part, kind, key, shared, arg, index, extra)
            else
                answer = write(part, kind, key, shared, arg, index)
            end
            answers[#answers + 1] = answer
        end
        at = at + ITEM
    end
    if not fresh then
        return part.fate, concat(reads)
    end
    if #part.events > 0 then
        local err = append(part)
        if err then
            return err
        end
    end
    return store(part, answers), concat(reads)
end

-- ---- the message ----

local parts, at, key = {}, 1, 0
local writes = 0
while packed[at] do
    -- All fields at once: a table that grows is made again and again.
    local part = {name = 'hgp:{' .. packed[at] .. '}:', epoch = packed[at + 1],
        items = packed[at + 2], writes = packed[at + 3], from = at + 4, key = key, fate = '',
        seq = 0, chain = '', et = 0, forgotten = 0, generation = 0, began = 0, began_ttl = 0,
        bytes = 0, highest = 0, active = -1, now = 0, held = false, turned = false,
        one_by_one = false, keys = false, last = {}, events = {}, indexes = {}}
    local err = judge(part)
    if err then
        return err
    end
    writes = writes + part.writes
    parts[#parts + 1] = part
    at, key = at + 4 + ITEM * part.items, key + part.items
end

local reply = {format('%d', clock)}
-- Too old and in no window: refused as a whole, its reads too. A replay is safe, however late.
if aged and not any_known and (writes > 0 or not ONE_OF_SEVERAL) then
    for i = 1, #parts do
        reply[2 * i], reply[2 * i + 1] = 'O', ''
    end
    return reply
end

for _, part in ipairs(parts) do
    for i = part.from, part.from + ITEM * (part.items - 1), ITEM do
        if part.fate == 'N' and packed[i] % SHARED ~= ADD_MANY and packed[i + 3] ~= '' then
            local err = load_key(part, packed[i + 3])
            if err then
                return err
            end
        end
    end
end

if writes > 0 or touching then
    -- The first write. Whatever refuses all writes (OOM, READONLY, MISCONF) does it here, before
    -- anything counts; and a duplicate writes too, so that a WAIT behind it covers the original.
    local clocked = pcall_('HSET', CLOCK, 'clock', format('%d', clock))
    if type(clocked) == 'table' then
        return clocked
    end
end

for i, part in ipairs(parts) do
    if part.fate == 'O' then
        reply[2 * i], reply[2 * i + 1] = 'O', ''
    else
        local answers, reads = run(part)
        if type(answers) == 'table' then
            return answers
        end
        if aged and part.writes == 0 and ONE_OF_SEVERAL then
            answers = 'A'
        end
        reply[2 * i], reply[2 * i + 1] = answers, reads
    end
end
return reply
