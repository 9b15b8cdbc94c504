"""The cases of the Autobahn test suite, which WebSocket implementations are measured by.

They go over real connections through the server that the product has, with an echo behind it. Left out are
9.* (how fast large messages are; ours have 16 KiB at most), and 12.* and 13.* (compression, which is off).
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from kosoku import FailureError, run_fuzzingclient
from kosoku._kosoku import CaseResult

from entrypoints.settings import Settings
from tests.serving import echo, served
from tests.whole import build
from tests.wiring import SECRET

CASES = {
    "1.*": 16,  # framing
    "2.*": 11,  # pings and pongs
    "3.*": 7,  # reserved bits
    "4.*": 10,  # reserved opcodes
    "5.*": 20,  # fragmentation
    "6.*": 145,  # UTF-8
    "7.*": 37,  # closing
    "10.*": 1,  # automatic fragmentation
}
LARGEST = 64 * 1024  # bytes: the largest message of 1.* and 10.*. All else is as in the product.
# As in the suite's own reports. NON-STRICT: what came together with a broken frame need not be answered, and
# invalid UTF-8 need not be found before its message is complete. INFORMATIONAL: no right answer is laid down.
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
SECONDS = 240


async def test_the_server_passes_the_cases_of_autobahn() -> None:
    container = build(Settings(token_secret=SECRET))
    async with served(echo, container, ws_max_size=LARGEST) as server:
        results = await asyncio.wait_for(_results(f"ws://{server.address}", [*CASES]), SECONDS)

    assert [_told(result) for result in results if not _passed(result)] == []
    assert Counter(f"{result.case_id.partition('.')[0]}.*" for result in results) == CASES


async def _results(url: str, cases: Sequence[str]) -> Sequence[CaseResult]:
    try:
        return await run_fuzzingclient(url, cases)
    except FailureError as failure:  # of some; the results are of all
        return failure.results


def _passed(result: CaseResult) -> bool:
    return {result.behavior.value, result.behavior_close.value} <= PASSED


def _told(result: CaseResult) -> str:
    return (
        f"{result.case_id}: {result.description} Expected: {result.expectation} "
        f"Found: {result.behavior.value}, {result.result} "
        f"The close: {result.behavior_close.value}, {result.remote_close_code}, {result.result_close}"
    )
