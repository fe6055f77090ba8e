-- hot.lua - POST increment, one counter for everybody.
dofile(os.getenv("BENCH") .. "/report.lua")

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"resource_id":"bench-hot","counter_type":"like","delta":1}'
