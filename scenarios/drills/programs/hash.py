"""A server that burns processor time for each request: it derives a key, as a login does.

One request at a time, in the order they come, as any program with one event loop. What a request costs is drawn, in
processor time, so that it is the same on every machine: --fixed milliseconds and an exponential part of --mean milliseconds.

    python3 hash.py --port 9001 --fixed 4 --mean 4
"""

import argparse
import asyncio
import hashlib
import random
import time

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--fixed", type=float, default=4.0)
parser.add_argument("--mean", type=float, default=4.0)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
rng = random.Random(args.seed)


def work():
    cost = (args.fixed + (rng.expovariate(1 / args.mean) if args.mean else 0)) / 1000
    until = time.thread_time() + cost
    key = b"key"
    while time.thread_time() < until:
        key = hashlib.pbkdf2_hmac("sha256", key, b"salt", 100)
    return key.hex().encode()


async def serve(reader, writer):
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    await reader.readexactly(int(line.split(b":")[1]))
            body = b"ok" if head.startswith(b"GET /healthz ") else work()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", args.port, backlog=1024)
    await server.serve_forever()


asyncio.run(main())
