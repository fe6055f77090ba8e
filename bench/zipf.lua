-- zipf.lua - keys.lua by Zipf's law with the exponent 0.99: the first counter gets 8 % of all.
local DRAWS = 262144
local draws = {}
local drawn = 0

-- By the inverse of the distribution, before the load starts.
function prepare()
    local upto = {}
    local sum = 0
    for n = 1, KEYS do
        sum = sum + 1 / n ^ 0.99
        upto[n] = sum
    end
    for i = 1, DRAWS do
        local wanted, low, high = math.random() * sum, 1, KEYS
        while low < high do
            local middle = math.floor((low + high) / 2)
            if upto[middle] < wanted then low = middle + 1 else high = middle end
        end
        draws[i] = low - 1
    end
end

function next_key(last)
    drawn = drawn % DRAWS + 1
    return draws[drawn]
end

dofile(os.getenv("BENCH") .. "/keys.lua")
