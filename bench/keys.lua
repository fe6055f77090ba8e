-- keys.lua - POST increment over 100,000 counters, uniformly. The requests are
-- made before the load starts, so that the generator costs the same as hot.lua's.
dofile(os.getenv("BENCH") .. "/report.lua")

KEYS = keys_of_load or 100000
local requests = {}
local at = 0

local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

local headers = {["Content-Type"] = "application/json"}

function post(n)
    return wrk.format("POST", nil, headers, string.format(
        '{"resource_id":"bench-%d","counter_type":"like","delta":1}', n))
end

function get(n)
    return wrk.format("GET", string.format("/api/v1/counter/bench-%d/like", n))
end

-- Another load may ask for something else, or in another order.
make_request = make_request or post
prepare = prepare or function() end
next_key = next_key or function(last) return (last + 61843) % KEYS end

function init(args)
    for n = 1, KEYS do
        requests[n] = make_request(n)
    end
    -- Each thread walks all keys in steps of a prime, from a place of its own.
    math.randomseed(seed)
    at = math.random(KEYS)
    prepare()
end

function request()
    at = next_key(at)
    return requests[at + 1]
end
