-- webdis_hot.lua - hot.lua in Webdis' words.
dofile(os.getenv("BENCH") .. "/report.lua")

wrk.path = "/INCRBY/counter:bench-hot:like/1"
