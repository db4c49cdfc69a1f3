"""Small web servers for tests, which answer every request in the way that the test says."""
import http.server


class Odd(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        self.server.act(self)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def reply(self, status, body=b"", kind="application/xml", length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


def error(code, message="because"):
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
