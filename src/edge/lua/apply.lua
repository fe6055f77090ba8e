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
--       6 MessagePack: for each part the lane's tag, epoch, items, writes, 1 if it is plain; then
--         if so, as nothing in it needs a look at anything but its counter:
--           events     their text for string.format, with the values left out
--           indexes    of all its increments: "3,9,12"
--           deltas     of each increment of several operations: "1,1,1;5,2"
--           then for each item
--             argument   the delta or the sum of deltas; "" is a get
--             counter    on a Cluster only
--         or else for each item
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
local concat, type, tonumber = table.concat, type, tonumber

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
local wall_text = format('%d', wall)
-- It never goes back, or a corrected wall clock would make producers' windows forgotten early and
-- new messages older than what is forgotten.
local clock = tonumber(call('HGET', CLOCK, 'clock') or -1)
if wall > clock then
    clock = wall
end
local clock_text = format('%d', clock)

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
    local m = pcall_('HMGET', part.name .. 'm', 'epoch', 'seq', 'chain', 'et', 'forgotten', 'bytes',
        producer_field, 'consumers', 'store')
    if m.err then
        return damaged(part.name .. 'm')
    end
    if m[1] ~= part.epoch then
        return redis.error_reply('HGPEPOCH lane ' .. part.name .. ' has epoch ' .. (m[1] or 'none'))
    end
    if (m[9] or nil) ~= STORE then
        return redis.error_reply('HGPEPOCH lane ' .. part.name .. ' is of store ' ..
            (m[9] or 'none'))
    end
    if part.writes == 0 then
        return
    end
    part.seq, part.chain, part.et = tonumber(m[2]), m[3], tonumber(m[4])
    part.forgotten, part.bytes = tonumber(m[5]), tonumber(m[6])
    part.held = m[8] and m[8] ~= '0'
    if m[7] then
        local highest, active = match(m[7], '^(%d+) (%d+)$')
        part.highest, part.active = tonumber(highest), tonumber(active)
    end
    if not (part.seq and part.chain and part.et and part.forgotten and part.bytes and
            part.highest) then
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
    local behind = pcall_('XREVRANGE', part.name .. 'o', '+', '(' .. part.epoch .. '-' .. m[2],
        'COUNT', '1')
    if behind.err or #behind > 0 then
        return damaged(part.name .. 'o')
    end
end

-- ---- clients' idempotency keys, in two generations (core/key_record.h) ----

-- A lane turns when a key comes by; what it would have had in between is out of reach anyhow.
local function turn(keys)
    if keys.ttl ~= ttl then
        local began = clock - clock % ttl
        if began > keys.began then
            keys.began = began
        end
        keys.ttl = ttl
    end
    local age = clock - keys.began
    if age >= ttl then
        keys.generation = keys.generation + (age >= 2 * ttl and 2 or 1)
        keys.began = keys.began + age - age % ttl
    end
end

local function open_keys(part)
    local m = pcall_('HMGET', part.name .. 'm', 'generation', 'began', 'ttl')
    local keys = {generation = tonumber(m[1]), began = tonumber(m[2]), ttl = tonumber(m[3]),
        records = {}}
    if not (keys.generation and keys.began and keys.ttl) then
        return damaged(part.name .. 'm')
    end
    turn(keys)
    part.keys = keys
end

local function bucket(part, generation, key)
    return part.name .. 'i:' .. format('%d', generation) .. ':' .. sub(key, 1, 4)
end

local function load_key(part, key)
    local err = not part.keys and open_keys(part)
    if err then
        return err
    end
    local field, newest = sub(key, 5), part.keys.generation
    for generation = newest, newest - 1, -1 do
        local record = pcall_('HGET', bucket(part, generation, key), field)
        if record and record.err then
            -- Declared keys are all here, so what isn't may have moved, and what it holds.
            if find(record.err, 'non local key', 1, true) then
                return redis.error_reply('HGPMOVING ' .. bucket(part, generation, key))
            end
            return damaged(bucket(part, generation, key))
        end
        if record then
            part.keys.records[key] = record
            return
        end
    end
end

-- The record is made at once, so that the same key again in this message finds it.
local function put_key(part, key, arg, value)
    local keys = part.keys
    local record = arg .. ' ' .. value .. ' ' .. part.now_text
    local name = bucket(part, keys.generation, key)

    keys.records[key] = record
    call('HSET', name, sub(key, 5), record)
    if call('HLEN', name) == 1 then
        -- Out of reach when the generation after this one ends; an hour more for a clock that
        -- waits.
        call('PEXPIREAT', name, keys.began + 2 * ttl + 3600000)
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

local function begin_events(part)
    part.events, part.indexes, part.last = {}, {}, {}
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

-- From here on they are text.
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
    part.events_count = #part.events
    part.events, part.indexes = concat(part.events), concat(part.indexes, ',')
end

local function append(part)
    part.seq = part.seq + part.events_count
    part.chain = sub(redis.sha1hex(part.chain .. ' ' .. producer .. ' ' .. number_text .. ' ' ..
        part.indexes), 1, 16)
    local id = part.epoch .. '-' .. format('%d', part.seq)
    local done = pcall_('XADD', part.name .. 'o', id, 't', part.now_text, 'c', part.chain,
        'p', producer, 'n', number_text, 's', part.events_count, 'e', part.events)
    if done.err then
        -- Against all the above: increments stand without their events. No more of this lane.
        call('HSET', part.name .. 'm', 'epoch', 'halted', 'halted', done.err)
        return redis.error_reply('HGPHALTED ' .. part.name .. 'o: ' .. done.err)
    end
    part.bytes = part.bytes + #part.events + 64
end

-- ---- operations ----

-- The value behind it: a number if it is exact as one, else a string; or nil and the answer.
local function add_number(key, delta)
    local value = increased(key, delta)
    if type(value) == 'number' then
        if value > -EXACT and value < EXACT then
            return value
        end
        return stored(key)
    end
    if find(value.err, 'overflow', 1, true) then
        return nil, '!' .. stored(key)
    end
    return nil, '?'
end

-- The value behind it as a string, or nil and the answer.
local function add(key, delta)
    local value, answer = add_number(key, delta)
    return type(value) == 'number' and format('%d', value) or value, answer
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

local function read_answer(key)
    local value = read(key)
    return value == '' and ' _' or ' ' .. (value or '?')
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
    local record = part.keys.records[record_key]
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

-- 'answers': an answer for each item that writes, by spaces.
local function store(part, answers)
    local record = '1' .. how .. ' ' .. part.writes .. ' ' .. part.now_text .. ' ' .. answers
    local highest, active = part.highest, math.max(part.active, issued, clock)
    if number > highest then
        highest = number
    end
    call('HSET', part.name .. 'w', slot_field, number_text .. ' ' .. record)
    call('HSET', part.name .. 'm', 'seq', part.seq, 'chain', part.chain, 'et', part.now_text,
        'bytes', part.bytes, producer_field, format('%d %d', highest, active))
    if part.keys then
        call('HSET', part.name .. 'm', 'generation', part.keys.generation, 'began',
            part.keys.began, 'ttl', part.keys.ttl)
    end
    return 'N' .. record
end

-- Both ways to run a part return the answers of its writes, then of its reads. One that isn't
-- fresh is only read.
local function run_items(part, fresh)
    local answers, reads = {}, {}
    local at = part.from
    begin_events(part)
    for i = 1, part.items do
        local kind, key = packed[at], counter_key(part.key + i, at + 4)
        local shared = kind >= SHARED
        if shared then
            kind = kind - SHARED
        end
        if kind == GET then
            reads[#reads + 1] = read_answer(key)
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
    finish_events(part)
    return concat(answers, ' '), concat(reads)
end

-- The way of a plain part as soon as an increment gives no number: what is done up to item 'last'
-- becomes events one by one, 'done' its values; the rest is done like other items.
local function unfold(part, done, reads, last)
    local answers, at = {}, part.from
    local next_index = string.gmatch(part.template, ' %%d ([%d,]+) ')
    local next_deltas = string.gmatch(part.deltas, '[^;]+')
    begin_events(part)
    for i = 1, part.items do
        local key, arg = counter_key(part.key + i, at + 1), packed[at]
        if arg ~= '' then
            local index, value = next_index(), done[#answers + 1]
            local deltas = find(index, ',', 1, true) and next_deltas()
            if value then
                value = type(value) == 'number' and format('%d', value) or value
                add_event(part, ADD, key, false, false, arg, value, index)
            elseif deltas then
                value = write_many(part, key, false, arg, index, deltas)
            else
                value = write(part, ADD, key, false, arg, index)
            end
            answers[#answers + 1] = value
        elseif i > last then
            reads[#reads + 1] = read_answer(key)
        end
        at = at + PLAIN
    end
    finish_events(part)
    return concat(answers, ' '), concat(reads)
end

-- What almost all traffic is: INCRBY for each, and all texts made at once at the end.
local function run_plain(part, fresh)
    local values, reads, at = {}, {}, part.from
    local count = 0
    for i = 1, part.items do
        local key, arg = counter_key(part.key + i, at + 1), packed[at]
        if arg == '' then
            reads[#reads + 1] = read_answer(key)
        elseif fresh then
            local value = add_number(key, arg)
            values[count + 1] = value
            if type(value) ~= 'number' then
                return unfold(part, values, reads, i)
            end
            count = count + 1
        end
        at = at + PLAIN
    end
    if not fresh then
        return '', concat(reads)
    end
    part.events_count = count
    part.events = format(part.template, unpack(values))
    return format(sub(string.rep(' %d', count), 2), unpack(values)), concat(reads)
end

local function run(part)
    local fresh = part.fate == 'N'
    if fresh then
        part.now_text = wall > part.et and wall_text or format('%d', part.et)
    end
    local answers, reads = (part.plain and run_plain or run_items)(part, fresh)
    if not fresh then
        return part.fate, reads
    end
    if part.events_count > 0 then
        local err = append(part)
        if err then
            return err
        end
    end
    return store(part, answers), reads
end

-- ---- the message ----

local parts, at, key = {}, 1, 0
local writes = 0
while packed[at] do
    -- All fields at once: a table that grows is made again and again.
    local part = {name = 'hgp:{' .. packed[at] .. '}:', epoch = packed[at + 1],
        items = packed[at + 2], writes = packed[at + 3], plain = packed[at + 4] == 1,
        from = at + 5, key = key, fate = '', seq = 0, chain = '', et = 0, forgotten = 0,
        bytes = 0, highest = 0, active = -1, now_text = '', held = false, keys = false,
        one_by_one = false, last = false, events = false, indexes = false, events_count = 0,
        template = '', deltas = ''}
    if part.plain then
        part.template, part.indexes, part.deltas = packed[at + 5], packed[at + 6], packed[at + 7]
        part.from = at + 8
    end
    local err = judge(part)
    if err then
        return err
    end
    writes = writes + part.writes
    parts[#parts + 1] = part
    at, key = part.from + (part.plain and PLAIN or ITEM) * part.items, key + part.items
end

local reply = {clock_text}
-- Too old and in no window: refused as a whole, its reads too. A replay is safe, however late.
if aged and not any_known and (writes > 0 or not ONE_OF_SEVERAL) then
    for i = 1, #parts do
        reply[2 * i], reply[2 * i + 1] = 'O', ''
    end
    return reply
end

for _, part in ipairs(parts) do
    local last = (part.plain or part.fate ~= 'N') and 0 or part.from + ITEM * (part.items - 1)
    for i = part.from, last, ITEM do
        if packed[i] % SHARED ~= ADD_MANY and packed[i + 3] ~= '' then
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
    local clocked = pcall_('HSET', CLOCK, 'clock', clock_text)
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
