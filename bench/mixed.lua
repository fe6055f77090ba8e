-- mixed.lua - four reads and a write of each of 20,000 counters, in no order.
function make_request(n)
    local counter = math.ceil(n / 5)
    return n % 5 == 0 and post(counter) or get(counter)
end

dofile(os.getenv("BENCH") .. "/keys.lua")
