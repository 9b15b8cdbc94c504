"""The routes of the bell's files."""

import gzip
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar

from entrypoints.http.element import element, modules
from tests.wiring import Service

HASHED = "v1-AB12CD34.js"
WHOLE = b"export const bell = 'ding';\n" * 40
ENTRY = b'export * from "./v1-AB12CD34.js";\n'
PLAIN = {"Accept-Encoding": "identity"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {"v1.js": ENTRY, HASHED: WHOLE, "de-00000000.js": b"export {};\n"}.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Litestar(element(modules(folder))))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bell.test") as client:
        yield client


async def test_a_file_is_a_module_that_any_origin_may_import(client: httpx.AsyncClient) -> None:
    answer = await client.get("/element/v1.js", headers=PLAIN | {"Origin": "https://page.example"})

    assert (answer.status_code, answer.content) == (200, ENTRY)
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v1.js", "public, max-age=300"),
        (HASHED, "public, max-age=31536000, immutable"),
        ("de-00000000.js", "public, max-age=31536000, immutable"),
    ],
)
async def test_only_what_has_a_hash_in_its_name_is_kept_for_good(
    client: httpx.AsyncClient, name: str, expected: str
) -> None:
    assert (await client.get(f"/element/{name}")).headers["Cache-Control"] == expected


@pytest.mark.parametrize("encodings", ["gzip", "identity"])
async def test_what_a_client_has_is_not_sent_again(client: httpx.AsyncClient, encodings: str) -> None:
    accepting = {"Accept-Encoding": encodings}
    tag = (await client.get("/element/v1.js", headers=accepting)).headers["ETag"]

    same = await client.get("/element/v1.js", headers=accepting | {"If-None-Match": f'"other", W/{tag}'})
    other = await client.get("/element/v1.js", headers=accepting | {"If-None-Match": '"other"'})

    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert same.headers["Access-Control-Allow-Origin"] == "*"
    assert same.headers["Cache-Control"] == "public, max-age=300"
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("encodings", "zipped"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip, br", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, br", False),
        ("x-gzip", False),
        ("", False),
    ],
)
async def test_it_is_compressed_for_those_who_accept_that(
    client: httpx.AsyncClient, encodings: str, zipped: bool
) -> None:
    async with client.stream("GET", f"/element/{HASHED}", headers={"Accept-Encoding": encodings}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])

    assert ("Content-Encoding" in answer.headers) == zipped
    assert (gzip.decompress(raw) if zipped else raw) == WHOLE
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert int(answer.headers["Content-Length"]) == len(raw)


async def test_compressed_and_plain_have_tags_of_their_own(client: httpx.AsyncClient) -> None:
    tags = {
        (await client.get("/element/v1.js", headers={"Accept-Encoding": encodings})).headers["ETag"]
        for encodings in ("gzip", "identity")
    }
    assert len(tags) == 2


async def test_the_listing_names_the_file_with_everything_and_the_integrity(
    client: httpx.AsyncClient,
) -> None:
    listed = (await client.get("/element")).json()

    assert listed["module"] == HASHED
    assert set(listed["integrity"]) == {"v1.js", HASHED, "de-00000000.js"}
    digest = b64encode(hashlib.sha384(WHOLE).digest()).decode()
    assert listed["integrity"][HASHED] == f"sha384-{digest}"


@pytest.mark.parametrize("name", ["v2.js", "..%2Felement.py", "%2e%2e", "v1.js%00", "element.py"])
async def test_there_is_nothing_else_in_the_folder(name: str) -> None:
    async with Service.run() as service:
        answer = await service.client.get(f"/element/{name}")

    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"


async def test_without_built_files_everything_else_is_served(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(Litestar(element(modules(tmp_path))))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bell.test") as client:
        assert (await client.get("/element")).json() == {"module": None, "integrity": {}}
        assert (await client.get("/element/v1.js")).status_code == 404


async def test_a_page_of_an_allowed_origin_gets_it_too() -> None:
    async with Service.run(allowed_origins="https://page.example") as service:
        of_it = await service.client.get("/element", headers={"Origin": "https://page.example"})
        of_another = await service.client.get("/element", headers={"Origin": "https://other.example"})

    assert of_it.headers["Access-Control-Allow-Origin"] in {"*", "https://page.example"}
    assert of_another.headers["Access-Control-Allow-Origin"] == "*"
