"""What tests put in the place of vLLM's server module: quick to start, and bad when told to be.

It listens as vLLM does, starts an engine process in a session of its own (the worst case: vLLM's
engine outlives a killed server), notes its pids, arguments and environment in a file, and follows
the mode in the file stub.json of its environment: well, crash, deaf (never healthy), rude (hangs
up on the first caller), stubborn (ignores SIGTERM).
"""

import json
import os
import signal
import socketserver
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

TOLD = Path(__file__).parents[4] / "stub.json"
"""A file, since the server's environment lets no variable of a test pass."""

ORDERS = json.loads(TOLD.read_text()) if TOLD.exists() else {}
MODE = ORDERS.get("mode", "well")
CALLERS: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def address_string(self) -> str:
        return "stub"

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)

    def do_GET(self) -> None:
        CALLERS.append(self.path)
        if MODE == "rude" and len(CALLERS) == 1:
            return
        known = self.headers["Authorization"] == f"Bearer {os.environ['VLLM_API_KEY']}"
        if self.path == "/health":
            self.answer(503 if MODE == "deaf" else 200, b"")
        elif self.path == "/version":
            self.answer(200, b'{"version": "0.32.0"}')
        elif not known:
            self.answer(401, b'{"error": "Unauthorized"}')
        else:
            self.answer(200, b'{"data": [{"id": "local"}]}')

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = asked["messages"][-1]["content"].upper()
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        self.answer(200, json.dumps({"choices": [choice]}).encode())


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def option(name: str) -> str | None:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def main() -> None:
    sys.stderr.write("stub: loading weights\n")
    if MODE == "crash":
        raise SystemExit("stub: the model is broken")
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    engine = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    if note := ORDERS.get("note"):
        pids = [os.getpid(), engine.pid]
        with open(note + ".tmp", "w") as file:
            json.dump({"pids": pids, "argv": sys.argv, "environ": dict(os.environ)}, file)
        os.rename(note + ".tmp", note)
    if uds := option("--uds"):
        server = UnixServer(uds, Handler)
    else:
        server = TcpServer((option("--host"), int(option("--port"))), Handler)
    server.serve_forever()


if __name__ == "__main__":
    main()
