-- batch.lua - POST batch/increment of 100 counters each; a thousand different requests.
local ITEMS = 100

function make_request(n)
    local items = {}
    for i = 1, ITEMS do
        items[i] = string.format('{"resource_id":"bench-%d","counter_type":"like","delta":1}',
                                 (n * 7919 + i * 61843) % 100000)
    end
    return wrk.format("POST", "/api/v1/counter/batch/increment",
                      {["Content-Type"] = "application/json"},
                      '{"items":[' .. table.concat(items, ",") .. "]}")
end

keys_of_load = 1000
dofile(os.getenv("BENCH") .. "/keys.lua")
