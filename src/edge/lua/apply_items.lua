-- apply_items.lua - what apply.lua needs for all but plain increments and reads: clients' keys, sets,
-- the edges of int64, and events of counters with several items.
--
-- Every local that a closure takes from outside costs each call of the script, used or not, and most
-- calls need nothing of this: so it is one function that takes nothing, made to work when it is first
-- asked for, with what it shares in a table.

local function make_items_way(shared)
    local call, pcall_ = redis.call, redis.pcall
    local sub, find, format, match = string.sub, string.find, string.format, string.match
    local concat, type, tonumber = table.concat, type, tonumber
    local coalesce, ttl, clock, packed = shared.coalesce, shared.ttl, shared.clock, shared.packed
    local damaged, stored, read = shared.damaged, shared.stored, shared.read
    local counter_key, counter_id = shared.counter_key, shared.counter_id
    local increased, replace = shared.increased, shared.replace
    local ITEM = shared.ITEM -- strings in 'packed'
    local ADD, SET, RESET, GET, ADD_MANY, SHARED = 0, 1, 2, 3, 4, 8

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

    local function load_keys(part)
        for i = part.from, part.from + ITEM * (part.items - 1), ITEM do
            if packed[i] % SHARED ~= ADD_MANY and packed[i + 3] ~= '' then
                local err = load_key(part, packed[i + 3])
                if err then
                    return err
                end
            end
        end
    end

    -- The record is made at once, so that the same key again in this message finds it. A hash is gone
    -- when the generation after its own ends, and an hour later for a clock that waits: it says itself
    -- when ("x", shorter than any key), as one made under a shorter ttl has to be kept for longer now.
    local function put_key(part, key, arg, value)
        local keys = part.keys
        local record = arg .. ' ' .. value .. ' ' .. part.now_text
        local name = bucket(part, keys.generation, key)
        local gone = keys.began + 2 * ttl + 3600000

        keys.records[key] = record
        if tonumber(call('HGET', name, 'x') or 0) >= gone then
            call('HSET', name, sub(key, 5), record)
        else
            call('HSET', name, sub(key, 5), record, 'x', format('%d', gone))
            call('PEXPIREAT', name, format('%d', gone))
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

    -- ---- operations ----

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

    -- What a write takes the place of; nil: it isn't a counter.
    local function old_value(key)
        local text = stored(key)
        if not text then
            return '0'
        end
        return type(text) == 'string' and is_int64(text) and text or nil
    end

    -- The value behind it as a string, or nil and the answer.
    local function add(key, delta)
        local value = increased(key, delta)
        if type(value) == 'number' then
            return value > -EXACT and value < EXACT and format('%d', value) or stored(key)
        end
        if find(value.err, 'overflow', 1, true) then
            return nil, '!' .. stored(key)
        end
        return nil, '?'
    end

    local function write(part, kind, key, shared, arg, index, record_key)
        local value, answer, event_arg = arg, nil, arg
        if kind == ADD then
            value, answer = add(key, arg)
        else
            event_arg = old_value(key)
            if not event_arg then
                return '?'
            end
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
                reads[#reads + 1] = ' ' .. read(key)
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

    -- The way of a plain part as soon as an increment gives no exact number: those before item 'last'
    -- become events one by one, 'done' their values; its own came to 'outcome'; the rest is done like
    -- other items.
    local function unfold(part, done, reads, last, outcome)
        local answers, at, each = {}, part.from, part.each
        local next_index = string.gmatch(part.template, ' %%d ([%d,]+) ')
        local next_deltas = string.gmatch(part.deltas, '[^;]+')
        begin_events(part)
        for i = 1, part.items do
            local arg = each or packed[at]
            local key = counter_key(part.key + i, each and at or at + 1)
            if arg ~= '' then
                local index, value = next_index(), done[#answers + 1]
                local deltas = find(index, ',', 1, true) and next_deltas()
                if value then
                    value = format('%d', value)
                elseif i == last and type(outcome) == 'number' then
                    value = stored(key) -- past what is exact here
                end
                if value then
                    add_event(part, ADD, key, false, false, arg, value, index)
                elseif deltas then
                    value = write_many(part, key, false, arg, index, deltas)
                else
                    value = write(part, ADD, key, false, arg, index)
                end
                answers[#answers + 1] = value
            elseif i > last then
                reads[#reads + 1] = ' ' .. read(key)
            end
            at = at + part.stride
        end
        finish_events(part)
        return concat(answers, ' '), concat(reads)
    end

    return {load_keys = load_keys, run = run_items, unfold = unfold}
end
