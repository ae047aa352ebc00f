"""A reverse proxy before a REST catalog: what it does to commits, a script says (FaultRest)."""

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

MODES = [
    "pass", "drop before", "500 after", "502 after", "503 after", "504 after", "reset after", "truncate", "html",
    "twice", "late", "409", "429",
]
STATUS_AFTER = {"500 after": 500, "502 after": 502, "503 after": 503, "504 after": 504}
LATE_SECONDS = 2.0
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class FaultRest:
    """Listens on a port of its own; `uri` is what the proxied `upstream` is there."""

    def __init__(self, upstream):
        self.upstream = urlsplit(upstream)
        self.script = []
        self.met = []
        # What "overtaken" calls once the commit was applied, before its answer is lost.
        self.rival = None
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.serve(self)

            do_POST = do_DELETE = do_HEAD = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}{self.upstream.path}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def forward(self, call, body):
        connection = http.client.HTTPConnection(self.upstream.hostname, self.upstream.port, timeout=60)
        try:
            headers = {name: value for name, value in call.headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request(call.command, call.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            if b"http://" in content:
                # The server tells its own address, which is not the one that was configured.
                own = f"http://{self.upstream.netloc}".encode()
                content = content.replace(own, f"http://127.0.0.1:{self.server.server_address[1]}".encode())
            return answer.status, answer.getheader("Content-Type") or "application/json", content
        finally:
            connection.close()

    def next_mode(self, call):
        """Faults befall commits of tables alone."""
        is_commit = call.command == "POST" and "/tables/" in call.path and not call.path.endswith("/rename")
        with self.lock:
            if not is_commit or not self.script:
                return "pass"
            mode = self.script.pop(0)
            self.met.append(mode)
            return mode

    def serve(self, call):
        body = call.rfile.read(int(call.headers.get("Content-Length") or 0))
        mode = self.next_mode(call)
        if mode == "drop before":
            return self.reset(call)
        if mode == "409":
            return self.answer(call, 409, b'{"error":{"message":"somebody was first","type":"CommitFailedException","code":409}}')
        if mode == "429":
            return self.answer(call, 429, b'{"error":{"message":"later","type":"TooManyRequests","code":429}}')
        if mode == "late":
            threading.Thread(target=self.deliver_late, args=(call, body), daemon=True).start()
            return self.answer(call, 504, b"")
        status, kind, content = self.forward(call, body)
        if mode == "twice":
            self.forward(call, body)
        elif mode == "overtaken":
            self.rival()
            return self.answer(call, 500, b"<html>bad gateway</html>", "text/html")
        elif mode in STATUS_AFTER:
            return self.answer(call, STATUS_AFTER[mode], b"<html>bad gateway</html>", "text/html")
        elif mode == "reset after":
            return self.reset(call)
        elif mode == "html":
            return self.answer(call, 200, b"<html>welcome</html>", "text/html")
        elif mode == "truncate":
            return self.answer(call, status, content[: len(content) // 2], kind)
        return self.answer(call, status, content, kind)

    def deliver_late(self, call, body):
        time.sleep(LATE_SECONDS)
        self.forward(call, body)

    @staticmethod
    def answer(call, status, content, kind="application/json"):
        call.send_response(status)
        call.send_header("Content-Type", kind)
        call.send_header("Content-Length", str(len(content)))
        call.end_headers()
        call.wfile.write(content)

    @staticmethod
    def reset(call):
        call.close_connection = True
        call.connection.shutdown(2)
