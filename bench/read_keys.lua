-- read_keys.lua - GET over the 100,000 counters of keys.lua.
function make_request(n)
    return get(n)
end

dofile(os.getenv("BENCH") .. "/keys.lua")
