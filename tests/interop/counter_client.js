// counter_client.js - calls of @grpc/grpc-js to a counter: node counter_client.js ADDRESS PROTOS...
//
// By mutual TLS when GRPC_CA, GRPC_CERT and GRPC_KEY name files; plain without.
// A line of JSON in is a call, {"method","request","deadline_ms"}; its answer is a line of JSON out,
// {"code","details","response"}. {"flood":N} starts N increments of one counter, says {"sent":N} once
// they are all under way, and then {"values":[...],"errors":[...]}. {"watch":SERVICE} prints
// {"serving":...} for each change, and {"ended":CODE}.
'use strict';
const fs = require('fs');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, ...includeDirs] = process.argv.slice(2);
const options = { keepCase: true, longs: Number, defaults: true, enums: String, includeDirs };
const load = (file) => grpc.loadPackageDefinition(loader.loadSync(file, options));
const limits = { 'grpc.max_send_message_length': 16 << 20 };
const read = (name) => (process.env[name] ? fs.readFileSync(process.env[name]) : null);
const credentials = process.env.GRPC_CA
  ? grpc.credentials.createSsl(read('GRPC_CA'), read('GRPC_KEY'), read('GRPC_CERT'))
  : grpc.credentials.createInsecure();

const Counter = load('counter/counter.proto').counter.CounterService;
const Health = load('grpc/health/v1/health.proto').grpc.health.v1.Health;
const Unknown = grpc.makeGenericClientConstructor({
  Nothing: {
    path: '/counter.CounterService/Nothing',
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0),
    responseDeserialize: (bytes) => bytes,
  },
});
const counter = new Counter(address, credentials, limits);
const unknown = new Unknown(address, credentials);
const say = (what) => console.log(JSON.stringify(what));

function call({ method, request, deadline_ms: ms }) {
  const client = method === 'Nothing' ? unknown : counter;
  client[method](request, { deadline: Date.now() + (ms || 30000) }, (error, response) => {
    say(error ? { code: error.code, details: error.details } : { code: 0, response });
  });
}

function flood(count) {
  const values = [];
  const errors = [];
  for (let n = 0; n < count; n++) {
    counter.IncrementCounter(
      { resource_id: 'grpc-js', counter_type: 'like' },
      { deadline: Date.now() + 30000 },
      (error, response) => {
        if (error) errors.push(error.code);
        else values.push(response.current_value);
        if (values.length + errors.length === count) say({ values, errors });
      },
    );
  }
  say({ sent: count, answered: values.length + errors.length });
}

function watch(service) {
  const stream = new Health(address, credentials).Watch({ service });
  stream.on('data', (answer) => say({ serving: answer.status }));
  stream.on('error', (error) => say({ ended: error.code }));
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const what = JSON.parse(line);
  if (what.flood) flood(what.flood);
  else if (what.watch !== undefined) watch(what.watch);
  else call(what);
}).on('close', () => process.exit(0));
