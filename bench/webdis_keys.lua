-- webdis_keys.lua - keys.lua in Webdis' words.
function make_request(n)
    return wrk.format("GET", "/INCRBY/counter:bench-" .. n .. ":like/1")
end

dofile(os.getenv("BENCH") .. "/keys.lua")
