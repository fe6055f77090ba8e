#!/usr/bin/env python3
"""record.py - what a real client sends, as an input of fuzz_grpc_server's corpus.

    tests/fuzz/record.py SERVER_PORT FILE -- COMMAND...

A port in front of the server is opened, {port} in COMMAND becomes it, and what the first
connection sends is kept, behind the two bytes of options that mean "as it is, all at once".
"""
import socket
import subprocess
import sys
import threading


def pump(source, sink, keep):
    while data := source.recv(65536):
        keep.append(data)
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


def relay(listener, server_port, keep):
    client, _ = listener.accept()
    server = socket.create_connection(('127.0.0.1', server_port))
    back = threading.Thread(target=pump, args=(server, client, []), daemon=True)
    back.start()
    pump(client, server, keep)


def main():
    server_port, file, dashes, *command = sys.argv[1:]
    if dashes != '--' or not command:
        sys.exit(__doc__)
    listener = socket.create_server(('127.0.0.1', 0))
    keep = []
    relaying = threading.Thread(target=relay, args=(listener, int(server_port), keep), daemon=True)
    relaying.start()
    port = str(listener.getsockname()[1])
    subprocess.run([word.replace('{port}', port) for word in command], timeout=30, check=False)
    relaying.join(5)
    with open(file, 'wb') as out:
        out.write(b'\0\0' + b''.join(keep))


main()
