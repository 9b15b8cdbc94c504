"""The bell for pages of any origin: the built files of `clients/element`, served from memory."""

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha384
from pathlib import Path
from typing import Annotated

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, HeaderParameter

from entrypoints.web.headers import names_tag

FOLDER = Path(__file__).with_name("element")

_HASHED = re.compile(r"-[0-9A-Z]{8}\.js")
# A module of another origin is requested with CORS, and a page with COEP wants the resource policy as well.
_HEADERS = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_SHORT, _LONG = "public, max-age=300", "public, max-age=31536000, immutable"
_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:$|,|;(?!\s*q=0(?:\.0*)?\s*(?:$|,)))", re.IGNORECASE)

_Header = Annotated[str | None, HeaderParameter(name="If-None-Match")]
_Encodings = Annotated[str | None, HeaderParameter(name="Accept-Encoding")]


@dataclass(frozen=True)
class Module:
    """A built file."""

    name: str
    content: bytes

    @cached_property
    def compressed(self) -> bytes:
        """The content with gzip, made when it is first wanted."""
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def integrity(self) -> str:
        """What a page may demand of the content (SRI)."""
        return f"sha384-{b64encode(sha384(self.content).digest()).decode()}"

    @property
    def caching(self) -> str:
        """For good, if the name changes with the content."""
        return _LONG if _HASHED.search(self.name) else _SHORT

    def answer(self, condition: str | None, encodings: str | None) -> Response[bytes]:
        """The file, or 304 if the client has it."""
        zipped = _GZIP.search(encodings or "") is not None
        tag = f'"{self.integrity[7:23]}{"-gzip" if zipped else ""}"'
        headers = {**_HEADERS, "Cache-Control": self.caching, "ETag": tag, "Vary": "Accept-Encoding"}
        if condition is not None and names_tag(condition, tag):
            return Response(b"", status_code=304, headers=headers)
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return Response(
            self.compressed if zipped else self.content, headers=headers, media_type="text/javascript"
        )


def modules(folder: Path = FOLDER) -> dict[str, Module]:
    """The built files, by name."""
    return {path.name: Module(path.name, path.read_bytes()) for path in sorted(folder.glob("*.js"))}


def element(built: Mapping[str, Module]) -> list[HTTPRouteHandler]:
    """The routes of the files. They need no credentials and count in no limit."""
    listing = _listing(built)

    @get("/element", include_in_schema=False, media_type="application/json")
    async def element_files() -> Response[bytes]:
        return Response(listing, headers={**_HEADERS, "Cache-Control": _SHORT})

    @get("/element/{file:str}", include_in_schema=False)
    async def element_file(
        file: FromPath[str], if_none_match: _Header = None, accept_encoding: _Encodings = None
    ) -> Response[bytes]:
        if file not in built:
            raise NotFoundException
        return built[file].answer(if_none_match, accept_encoding)

    return [element_files, element_file]


def _listing(built: Mapping[str, Module]) -> bytes:
    """The name of the file that the entry only passes on, and the integrity of every file."""
    module = next((name for name in built if name.startswith("v1-")), None)
    integrity = {name: one.integrity for name, one in built.items()}
    return json.dumps({"module": module, "integrity": integrity}, indent=2).encode() + b"\n"
