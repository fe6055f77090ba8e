// echo_server.js - the methods of echo_server.py on @grpc/grpc-js: node echo_server.js [PORT]
'use strict';
const grpc = require('@grpc/grpc-js');

const LARGEST = 8 << 20;
const bytes = (message) => message;
const define = (name) => ({
  path: `/echo.Echo/${name}`,
  requestStream: false,
  responseStream: false,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const later = (ms) => (call, done) => {
  setTimeout(() => done(null, call.request), ms).unref();
};

const server = new grpc.Server({
  'grpc.max_receive_message_length': LARGEST,
  'grpc.max_send_message_length': LARGEST,
});
server.addService(
  { Unary: define('Unary'), Brief: define('Brief'), Slow: define('Slow'), Fail: define('Fail') },
  {
    Unary: (call, done) => done(null, call.request),
    Brief: later(20),
    Slow: later(60000),
    Fail: (_call, done) =>
      done({ code: grpc.status.INVALID_ARGUMENT, details: 'half 50% \u00e9\n' }),
  },
);
const wanted = `127.0.0.1:${process.argv[2] || 0}`;
server.bindAsync(wanted, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
