"""What a page does that it must not: requests to other hosts, and errors that it leaves in its console."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Request, WebError

NOT_ON_THE_NET = frozenset({"data", "blob", "about"})


class Watch:
    """Everything that the pages of one browser context ask for and complain of."""

    def __init__(self, context: BrowserContext, home: str) -> None:
        self._home = urlsplit(home).netloc
        self.foreign: list[str] = []
        """URLs of other hosts that were asked for."""
        self.complaints: list[str] = []
        """Exceptions that nobody caught, and errors in the console: what the content policy refused is one."""
        context.on("request", self._on_request)
        context.on("weberror", self._on_error)
        context.on("console", self._on_console)

    def _on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in NOT_ON_THE_NET and url.netloc != self._home:
            self.foreign.append(request.url)

    def _on_error(self, error: WebError) -> None:
        self.complaints.append(str(error.error))

    def _on_console(self, message: ConsoleMessage) -> None:
        # The browser itself writes a line for every answer of 400 and above, which a page may well expect.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)
