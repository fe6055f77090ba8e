-- keys.lua - POST increment over 100,000 counters, uniformly. The requests are
-- made before the load starts, so that the generator costs the same as hot.lua's.
dofile(os.getenv("BENCH") .. "/report.lua")

local KEYS = 100000
local requests = {}
local at = 0

local threads = 0

function setup(thread)
    threads = threads + 1
    thread:set("seed", threads)
end

local headers = {["Content-Type"] = "application/json"}

-- Another API may say it in its own way.
make_request = make_request or function(n)
    return wrk.format("POST", nil, headers, string.format(
        '{"resource_id":"bench-%d","counter_type":"like","delta":1}', n))
end

function init(args)
    for n = 1, KEYS do
        requests[n] = make_request(n)
    end
    -- Each thread walks all keys in steps of a prime, from a place of its own.
    math.randomseed(seed)
    at = math.random(KEYS)
end

function request()
    at = (at + 61843) % KEYS
    return requests[at + 1]
end
