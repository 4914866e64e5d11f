"""A browser: visits pages and sends their forms."""

from __future__ import annotations

import re
from html import unescape
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

from example_project.demo.programs import DemoFailed

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
ERRORS = re.compile(r'<ul class="errorlist".*?</ul>', re.DOTALL)


class Browser:
    """One visitor of *site*. It keeps its cookies, and follows redirects."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor())

    def get(self, path: str) -> str:
        """Return the page at *path*."""
        return self._open(path)[1]

    def submit(self, path: str, *, action: str | None = None, **fields: object) -> str:
        """Fill in the form of the page at *path*, send it, to *action* if given, and return the path we end at."""
        token = TOKEN.search(self.get(path))
        if token is None:
            raise DemoFailed(f"{path} has no form with a CSRF token.")
        sent_to = action or path
        landed, page = self._open(sent_to, {"csrfmiddlewaretoken": token[1], **fields})
        if landed == sent_to:  # the site did not lead us on: it shows the form again
            refused = " ".join(re.sub("<[^>]+>", " ", unescape(found)) for found in ERRORS.findall(page))
            raise DemoFailed(f"{sent_to} refused {fields}: {' '.join(refused.split())}")
        return landed

    def _open(self, path: str, fields: dict[str, object] | None = None) -> tuple[str, str]:
        sent = None if fields is None else urlencode(fields).encode()
        try:
            with self._opener.open(urljoin(self._site, path), sent, timeout=30) as response:
                return urlsplit(response.url).path, response.read().decode()
        except HTTPError as error:
            raise DemoFailed(f"{path} answered {error.code} {error.reason}.") from error
