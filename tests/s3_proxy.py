"""A proxy before a real S3 server that does to requests what networks do: it delays them, refuses
them, breaks them off, changes bytes, and loses answers to requests that were carried out. A seed
decides what it does; it counts what it did.

A signature covers the host that the client addressed, so requests are passed on with their headers
unchanged. Only bodies of objects are changed, because lists have no checksum."""
import collections
import http.client
import random
import socket
import socketserver
import struct
import threading
import time

REFUSALS = {500: "InternalError", 503: "SlowDown", 429: "TooManyRequests"}


class Faults:
    """What happens to the next request. `share` of them suffer; what a client cannot mend each time,
    for one range of an object has no checksum, is rarer."""
    KINDS = {"late": 10, "reset before": 10, "refused": 10, "conflict": 10, "lost": 10, "cut": 10,
             "reset at byte": 10, "changed request": 10, "changed answer": 6}

    def __init__(self, seed, share, kinds=None, only="", most=None):
        """only: what a target must have in it to suffer; most: so many faults in all."""
        self.rng = random.Random(seed)
        self.share, self.kinds = share, kinds or list(self.KINDS)
        self.only, self.most = only, most
        self.lock = threading.Lock()
        self.asked = 0  # requests so far
        self.done = collections.Counter()

    def next(self, method, target):
        with self.lock:
            self.asked += 1
            is_over = self.most is not None and sum(self.done.values()) >= self.most
            if self.rng.random() >= self.share or is_over or self.only not in target:
                return None, 0.0
            weights = [self.KINDS[kind] for kind in self.kinds]
            return self.rng.choices(self.kinds, weights)[0], self.rng.random()

    def count(self, kind):
        with self.lock:
            self.done[kind] += 1


class AtRequest:
    """One fault at the k-th request from the first one on that `begins`(method, target) answers with
    true; `lasts`: and at all after it. `act` is called at the fault, in the thread of the request:

      before   act, and the request goes nowhere        after    it is carried out, act, no answer
      held     act, then it is carried out              timed out  it is carried out; the answer says
                                                                   that it was not
    and "refused", "reset before" and "lost" as Faults has them."""

    def __init__(self, k, kind, begins, act=lambda: None, lasts=False):
        self.k, self.kind, self.begins, self.act, self.lasts = k, kind, begins, act, lasts
        self.lock = threading.Lock()
        self.n = 0  # requests since it began
        self.done = collections.Counter()

    def next(self, method, target):
        with self.lock:
            if self.n == 0 and not self.begins(method, target):
                return None, 0.0
            self.n += 1
            is_hit = self.n == self.k or (self.lasts and self.n > self.k)
            return (self.kind if is_hit else None), 0.5

    def count(self, kind):
        with self.lock:
            self.done[kind] += 1


class Handler(socketserver.StreamRequestHandler):
    """One connection of the client: requests one after the other."""
    disable_nagle_algorithm = True

    def handle(self):
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        try:
            while self.one_request(upstream):
                pass
        except OSError:
            pass  # the client has gone, or a fault has closed the connection
        finally:
            upstream.close()

    def read_request(self):
        line = self.rfile.readline(65536).decode("latin-1").rstrip("\r\n")
        if not line:
            return None
        method, target, _ = line.split(" ", 2)
        headers = []
        while (text := self.rfile.readline(65536).decode("latin-1").rstrip("\r\n")):
            name, _, value = text.partition(":")
            headers.append((name, value.strip()))
        length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
        body = b"".join(self.rfile.read(n) for n in self.pieces(length))
        return method, target, headers, body

    def pieces(self, length):
        """Sizes that sum up to it, each given when the one line that all share has carried it."""
        rate = self.server.bytes_per_s
        at_once = max(1, rate // 20) if rate else max(1, length)
        for first in range(0, length, at_once):
            n = min(at_once, length - first)
            if rate:
                with self.server.line:
                    time.sleep(n / rate)
            yield n

    def one_request(self, upstream):
        request = self.read_request()
        if request is None:
            return False
        method, target, headers, body = request
        kind, chance = self.server.faults.next(method, target)
        if kind == "conflict" and not any(n.lower() == "if-none-match" for n, _ in headers):
            kind = None
        if kind == "changed request" and not body:
            kind = None
        if kind in ("cut", "reset at byte") and method == "HEAD":
            kind = None
        if kind == "changed answer" and (method != "GET" or "list-type=" in target):
            kind = None
        if kind:
            self.server.faults.count(kind)
        if kind == "late":
            time.sleep(chance * 0.1)
        elif kind in ("before", "held"):
            self.server.faults.act()
            if kind == "before":
                return self.reset()
        elif kind == "reset before":
            return self.reset()
        elif kind == "refused":
            status = list(REFUSALS)[int(chance * len(REFUSALS))]
            return self.refuse(method, status, REFUSALS[status])
        elif kind == "conflict":
            return self.refuse(method, 409, "ConditionalRequestConflict")
        elif kind == "changed request":
            at = int(chance * len(body))
            body = body[:at] + bytes([body[at] ^ 0x20]) + body[at + 1:]
        answer, data = self.forward(upstream, method, target, headers, body)
        if kind == "after":
            self.server.faults.act()
        if kind in ("lost", "after"):
            return self.reset()
        if kind == "timed out":
            return self.refuse(method, 408, "RequestTimeout")
        if kind == "changed answer" and data:
            at = int(chance * len(data))
            data = data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1:]
        return self.send(method, answer, data, kind, chance)

    def forward(self, upstream, method, target, headers, body):
        upstream.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            upstream.putheader(name, value)
        upstream.endheaders(body or None)
        answer = upstream.getresponse()
        return answer, answer.read()

    def send(self, method, answer, data, kind, chance):
        length = answer.getheader("Content-Length") if method == "HEAD" else str(len(data))
        head = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        head += [f"{n}: {v}" for n, v in answer.getheaders()
                 if n.lower() not in ("content-length", "transfer-encoding", "connection")]
        head += [f"Content-Length: {length or 0}", "", ""]
        self.wfile.write("\r\n".join(head).encode("latin-1"))
        if kind in ("cut", "reset at byte") and data:
            self.wfile.write(data[:int(chance * len(data))])
            self.wfile.flush()
            return self.reset() if kind == "reset at byte" else False
        first = 0
        for n in self.pieces(len(data)):
            self.wfile.write(data[first:first + n])
            first += n
        self.wfile.flush()
        return True

    def refuse(self, method, status, code):
        text = f"<Error><Code>{code}</Code><Message>a fault on purpose</Message></Error>".encode()
        text = b"" if method == "HEAD" else text
        self.wfile.write(f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
                         f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        self.wfile.flush()
        return True

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        return False

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class Proxy(socketserver.ThreadingTCPServer):
    """Stands before a server of s3.py; `faults` and `bytes_per_s` may be set at any time."""
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, server):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = server.port
        self.faults = Faults(0, 0.0)
        self.bytes_per_s, self.line = 0, threading.Lock()  # of all connections together; 0: no bound
        self.env = {**server.env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_address[1]}"}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a fault on purpose

    def stop(self):
        self.shutdown()
        self.server_close()
