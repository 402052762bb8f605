"""What pages say, and whether a browser opens them."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(HTMLParser):
    """The cells of tables by row, the headings, and all addresses that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self._tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "data") and v and v[0] != "#"]

    def handle_endtag(self, tag: str) -> None:
        while self._tags and self._tags.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._tags and self._tags[-1] in ("td", "th"):
            self.rows[-1].append(data)
        if self._tags and self._tags[-1] in ("h2", "h3"):
            self.headings.append(data)


def screenshot(address: str, picture: Path, width: int = 1200, *, dark: bool = False) -> None:
    """Open a page in a headless browser, which must report no error."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
               f"--user-data-dir={picture.parent / 'profile'}", f"--window-size={width},2000",
               *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []),
               f"--screenshot={picture}", address]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and picture.stat().st_size > 10_000
    assert "CONSOLE" not in done.stderr, done.stderr
