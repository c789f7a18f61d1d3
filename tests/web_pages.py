"""A small site on loopback, for browsers: pages, and what has asked for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGES = {
    "/": """<title>first</title><h1>A first page</h1>
        <a href="/next">next page</a> <a href="/next" target="_blank">new window</a>""",
    "/next": "<title>second</title><h1>A second page</h1>",
    "/hang": """<button onclick="while (true) {}">hang</button>""",
    "/visits": """<title>visits</title><p id="count"></p><script>
        const visit = Number(localStorage.visits || 0) + 1;
        localStorage.visits = visit;
        document.cookie = `visits=${visit}`;
        document.getElementById("count").textContent = `visit ${visit}`;
        </script>""",
}


class Site(ThreadingHTTPServer):
    """Listens on an address of loopback, and remembers the paths that were asked for."""

    daemon_threads = True

    def __init__(self, host: str = "127.0.0.1", pages: dict[str, str] | None = None) -> None:
        super().__init__((host, 0), _Handler)
        self.pages = PAGES if pages is None else pages
        self.asked: list[str] = []
        self.url = f"http://{host}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        location = (page or "").removeprefix("-> ")
        self.send_response(404 if page is None else 302 if location != page else 200)
        if page is not None and location != page:
            self.send_header("Location", location)
        self.send_header("Content-Type", "text/html")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_site(host: str = "127.0.0.1", pages: dict[str, str] | None = None) -> Iterator[Site]:
    site = Site(host, pages)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()
