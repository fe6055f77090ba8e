-- read_hot.lua - GET of hot.lua's counter.
dofile(os.getenv("BENCH") .. "/report.lua")

wrk.path = "/api/v1/counter/bench-hot/like"
