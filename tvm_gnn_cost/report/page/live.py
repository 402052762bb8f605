"""A page on this machine's own web server, made anew when the files that it is made of change."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import InvalidArgumentError, TVMGNNCostError
from tvm_gnn_cost.report.page.page import Page, Section

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"
"""Other machines cannot ask."""
_RETRY_S = 5  # when there was nothing to show yet


class LivePage:
    """Serves one page; used as a context.

    Args:
        make: makes it. A TVMGNNCostError is shown in its place.
        files: that it is made of.
        port: where; 0 takes a free one.

    Raises InvalidArgumentError where the port is taken.
    """

    def __init__(self, make: Callable[[], Page], files: Callable[[], Sequence[Path]], port: int) -> None:
        self._make, self._files = make, files
        self._made: tuple[object, bytes] | None = None
        self._lock = threading.Lock()
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/":
                    self.send_error(HTTPStatus.NOT_FOUND)
                    return
                content = page.content()
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Requests are not worth a line."""

        try:
            self._server = ThreadingHTTPServer((HOST, port), Handler)
        except OSError as error:
            raise InvalidArgumentError(f"port {port} cannot be served: {error.strerror or error}") from error
        self.address = f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.server_close()

    def run(self) -> None:
        """Until `stop`, or Ctrl-C."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.serve_forever()

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._server.shutdown()

    def content(self) -> bytes:
        """The page as it is now."""
        with self._lock:
            seen = [(str(path), path.stat().st_mtime_ns) for path in self._files() if path.exists()]
            if self._made is None or self._made[0] != seen:
                self._made = (seen, self._page().html().encode())
            return self._made[1]

    def _page(self) -> Page:
        try:
            return self._make()
        except TVMGNNCostError as error:
            return Page("Nothing to show yet", "", [Section("Why", str(error))], _RETRY_S)
