#!/bin/sh
# generate_test.sh - what scripts/generate_proto.sh makes is complete and usable.
set -eu
root=$1
dest=$(mktemp -d)
trap 'rm -rf "$dest"' EXIT

"$root/scripts/generate_proto.sh" "$dest" >/dev/null
for file in c/counter/counter.pb-c.h python/counter/counter_pb2.py \
    c/analytics/analytics.pb-c.h python/analytics/analytics_pb2.py \
    c/counter/internal/lanes.pb-c.h python/counter/internal/lanes_pb2.py \
    python/grpc_services/health_pb2.py api.bin; do
    [ -s "$dest/$file" ] || { echo "no $file" && exit 1; }
done
"${CC:-cc}" -std=gnu11 -fsyntax-only -I"$dest/c" "$dest/c/counter/counter.pb-c.c"
"${CC:-cc}" -std=gnu11 -fsyntax-only -I"$dest/c" "$dest/c/analytics/analytics.pb-c.c"
"${CC:-cc}" -std=gnu11 -fsyntax-only -I"$dest/c" "$dest/c/counter/internal/lanes.pb-c.c"

# Debian's interpreter has Debian's protobuf.
python=/usr/bin/python3
"$python" -c 'import google.protobuf' 2>/dev/null || {
    echo "SKIP: $python has no google.protobuf (Debian: python3-protobuf)"
    exit 77
}
PYTHONPATH=$dest/python "$python" - <<'PY'
from analytics import analytics_pb2
from counter import counter_pb2
from grpc_services import health_pb2, reflection_v1_pb2, reflection_v1alpha_pb2

# CONTRACT part B: names and numbers that clients were built with.
counting = {
    'IncrementRequest': ['resource_id', 'counter_type', 'delta'],
    'IncrementResponse': ['success', 'current_value', 'message'],
    'GetCounterRequest': ['resource_id', 'counter_type'],
    'GetCounterResponse': ['success', 'current_value', 'message', 'resource_id', 'counter_type',
                           'updated_at'],
    'BatchGetRequest': ['requests'],
    'BatchGetResponse': ['counters'],
}
analysing = {
    'TopCountersRequest': ['counter_type', 'limit', 'time_range'],
    'TopCountersResponse': ['counters', 'exact', 'max_error', 'as_of', 'lag_events'],
    'CounterItem': ['rank', 'resource_id', 'counter_type', 'value', 'increments'],
    'StatsRequest': ['resource_id', 'counter_type', 'time_range', 'metrics'],
    'StatsResponse': ['resource_id', 'counter_type', 'metrics', 'series', 'as_of', 'exact'],
    'Metric': ['name', 'value', 'int_value'],
    'Point': ['timestamp', 'value'],
}


def check_frozen(file, package, frozen):
    assert file.package == package, file.package
    assert file.GetOptions().go_package == f'high-go-press/api/generated/{package}'
    for message, fields in frozen.items():
        by_number = file.message_types_by_name[message].fields_by_number
        got = [by_number[n + 1].name for n in range(len(fields))]
        assert got == fields, f'{message}: {got}'


file = counter_pb2.DESCRIPTOR
check_frozen(file, 'counter', counting)
check_frozen(analytics_pb2.DESCRIPTOR, 'analytics', analysing)
methods = [m.name for m in
           analytics_pb2.DESCRIPTOR.services_by_name['AnalyticsService'].methods]
assert methods == ['GetTopCounters', 'GetCounterStats'], methods
methods = [m.name for m in file.services_by_name['CounterService'].methods]
assert methods == ['IncrementCounter', 'GetCounter', 'BatchGetCounters', 'BatchIncrementCounters',
                   'Watch', 'SetCounter', 'DeleteCounter'], methods
assert health_pb2.HealthCheckResponse.NOT_SERVING == 2
assert reflection_v1_pb2.DESCRIPTOR.package == 'grpc.reflection.v1'
assert reflection_v1alpha_pb2.DESCRIPTOR.package == 'grpc.reflection.v1alpha'
PY
echo 'generated C, Python and the descriptor set'
