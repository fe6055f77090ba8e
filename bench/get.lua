-- get.lua - one GET, always the same: nginx's 'return 200' and our health.
dofile(os.getenv("BENCH") .. "/report.lua")
