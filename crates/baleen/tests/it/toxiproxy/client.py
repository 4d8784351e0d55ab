# Drives the fault server with toxiproxy-python, the client on PyPI.
#   client.py HOST PORT UPSTREAM     (UPSTREAM answers HTTP)
import socket
import sys
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

host, port, upstream = sys.argv[1:]
server = Toxiproxy()
server.update_api_consumer(host, int(port))


def address(proxy):
    name, number = proxy.listen.rsplit(":", 1)
    return name, int(number)


def ask(proxy):
    """One request; its status line and how long it took. Empty for an end without an answer."""
    began = time.monotonic()
    with socket.create_connection(address(proxy), timeout=20) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = b""
        while chunk := s.recv(65536):
            got += chunk
    return got.split(b"\r\n", 1)[0], time.monotonic() - began


def raises(kind, do, *args, **more):
    try:
        do(*args, **more)
    except kind:
        return True
    return False


assert server.running()
assert b'"version"' in server.version()
assert server.proxies() == {}

web = server.create(upstream=upstream, name="web")
assert (web.name, web.upstream, web.enabled) == ("web", upstream, True)
assert address(web)[1] != 0
assert ask(web)[0] == b"HTTP/1.1 200 OK"
assert list(server.proxies()) == ["web"]
assert raises(ProxyExists, server.create, upstream=upstream, name="web")

web.add_toxic(type="latency", attributes={"latency": 300, "jitter": 0})
toxic = web.get_toxic("latency_downstream")
assert (toxic.type, toxic.stream, toxic.toxicity) == ("latency", "downstream", 1.0)
assert toxic.attributes == {"latency": 300, "jitter": 0}
status, took = ask(web)
assert status == b"HTTP/1.1 200 OK" and took >= 0.3, (status, took)
assert raises(ProxyExists, web.add_toxic, type="latency")
assert raises(InvalidToxic, web.add_toxic, type="nothing")
assert raises(InvalidToxic, web.add_toxic, type="latency", stream="sideways")
assert web.destroy_toxic("latency_downstream")
assert raises(NotFound, web.destroy_toxic, "latency_downstream")
assert web.toxics() == {}

web.add_toxic(name="cut", type="limit_data", stream="downstream", attributes={"bytes": 0})
assert ask(web)[0] == b""
assert server.reset()
assert ask(web)[0] == b"HTTP/1.1 200 OK"

with web.down():
    try:
        socket.create_connection(address(web), timeout=20)
        raise AssertionError("a disabled proxy takes connections")
    except ConnectionRefusedError:
        pass
assert ask(web)[0] == b"HTTP/1.1 200 OK"

more = server.populate(
    [
        {"name": "web", "upstream": upstream, "listen": web.listen},
        {"name": "other", "upstream": upstream, "listen": "127.0.0.1:0", "enabled": False},
    ]
)
assert [p.name for p in more] == ["other"]
assert server.get_proxy("other").enabled is False
assert server.get_proxy("nobody") is None
assert server.destroy(web)
server.destroy_all()
assert server.proxies() == {}
print("ok")
