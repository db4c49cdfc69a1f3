"""odd   begin(act, certificate=None) starts a server whose requests are answered by act(handler); it has
      `url`, and `seen`: (method, path, headers) of each request"""
import http.server
import ssl
import threading

import pytest

from odd_server import Odd


@pytest.fixture
def odd():
    made = []

    def begin(act, certificate=None):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
        server.act, server.seen = act, []
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.append(server)
        server.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        return server
    yield begin
    for server in made:
        server.shutdown()
        server.server_close()
