"""`make demo`: tusk up, a shop page with the web SDK, fourteen past days imported, and traffic that goes on. Ends with all it started.

    python3 demo/demo.py --data DIR --rate 20 -- target/release/tusk up …
"""

import argparse
import functools
import http.server
import json
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# How long nginx and the daemon may take to come up, s.
START_S = 60
SDK = HERE / "shop/node_modules/sa-sdk-javascript"
PAGE = (HERE / "shop/index.html", "text/html")
FILES = {
    "/shop.js": (HERE / "shop/shop.js", "text/javascript"),
    "/shop.css": (HERE / "shop/shop.css", "text/css"),
    "/sdk/sensorsdata.min.js": (SDK / "sensorsdata.min.js", "text/javascript"),
    "/sdk/pageleave.js": (SDK / "dist/web/plugin/pageleave/index.js", "text/javascript"),
}


def say(text):
    print(f"demo: {text}", file=sys.stderr, flush=True)


class Shop(http.server.BaseHTTPRequestHandler):
    """The page's files and nothing else, with the receive URL as `config.js`."""

    def __init__(self, receive_url, *arguments):
        self.receive_url = receive_url
        super().__init__(*arguments)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/config.js":
            return self._answer(200, "text/javascript", f"window.receiveUrl = {json.dumps(self.receive_url)};\n".encode())
        if "." in path and path not in FILES:
            return self._answer(404, "text/plain", b"not here\n")
        # Every other path is a page of the shop, which draws itself by the path.
        file, kind = FILES.get(path, PAGE)
        self._answer(200, kind, file.read_bytes())

    def _answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """The screen belongs to the events."""


def serve(receive_url, port):
    """The shop on the first free port from `port` on."""
    for candidate in range(port, port + 50):
        try:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", candidate), functools.partial(Shop, receive_url))
        except OSError:
            continue
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return candidate
    raise SystemExit(f"demo: no free port for the shop page from {port} to {port + 49}")


class Demo:
    """What was started, in the order it is to end."""

    def __init__(self, options):
        self.options, self.data = options, pathlib.Path(options.data)
        self.children = []

    def start(self, *command):
        child = subprocess.Popen(command)
        self.children.append(child)
        return child

    def end(self):
        """The traffic first, so that nothing is sent to a receiver that is going; then what receives."""
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
            child.wait()

    def receive_url(self, up):
        """Where nginx listens, from the configuration `tusk up` wrote this time; None if it ended."""
        conf, began = self.data / "nginx.conf", time.time() - 1
        while up.poll() is None and time.time() - began < START_S:
            if conf.exists() and conf.stat().st_mtime >= began and (self.data / "tusk.sock").exists():
                found = re.search(r"listen\s+(?:[\d.]+:)?(\d+)", conf.read_text())
                if found:
                    return f"http://127.0.0.1:{found[1]}/sa?project=default"
            time.sleep(0.1)
        return None

    def history(self, tusk):
        """Past days, once for a data folder: the file stays, so that a second start imports nothing twice."""
        file = self.data / "history.jsonl"
        if not file.exists():
            part = file.with_suffix(".part")
            made = self.start(sys.executable, str(HERE / "traffic"), "history", "--people", str(self.options.people), "--days", "14", "--out", str(part))
            if made.wait() != 0:
                return
            part.rename(file)
        imported = subprocess.run([tusk, "import", "--data", str(self.data), str(file)], capture_output=True, text=True)
        if imported.returncode != 0:
            say("import: " + (imported.stderr or imported.stdout).strip().split("\n")[-1])

    def run(self):
        command = self.options.command
        up = self.start(*command)
        url = self.receive_url(up)
        if url is None:
            return up.wait()
        page = serve(url, 8107)
        say(f"shop page: http://127.0.0.1:{page}/  (real web SDK; click around and watch the events)")
        self.history(command[0])
        say("14 days of history are in; traffic goes on until Ctrl-C")
        self.start(sys.executable, str(HERE / "traffic"), "live", "--url", url, "--rate", str(self.options.rate), "--people", str(self.options.people))
        return up.wait()


def main():
    parser = argparse.ArgumentParser(prog="demo", description="The demo behind `make demo`.")
    parser.add_argument("--data", required=True, help="data folder, the one `tusk up` gets too")
    parser.add_argument("--rate", type=float, default=20, help="events a second (20)")
    parser.add_argument("--people", type=int, default=2000, help="people who know the shop (2000)")
    parser.add_argument("command", nargs="+", help="tusk up and its arguments, after --")
    demo = Demo(parser.parse_args())

    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    try:
        status = demo.run()
    except KeyboardInterrupt:
        status = 0
    finally:
        # Whoever presses Ctrl-C again ends `tusk up` at once, not this clean-up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        demo.end()
    return status


if __name__ == "__main__":
    sys.exit(main())
