"""Scenario: what a person waits for in a browser, with the bell of `/element/v1.js` on a page."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from playwright.sync_api import Browser, Page, Route, sync_playwright

from bench.load import percentile
from bench.measured import Row, timed
from bench.scenario import Context
from bench.service import Service
from bench.stored import store
from bench.user import User
from workbench.chromium import chromium

_BADGES, _BADGES_QUICK = 400, 50
_AT_ONCE = 80
"""Notifications of one user: from 100 on the badge no longer shows the number."""
_STORED = 5_000
_LONG = 0.05
"""Seconds from which a task is a long one (W3C Long Tasks)."""
_CATEGORIES = ["toplevel"]
_ARGUMENTS = ["--disable-features=LocalNetworkAccessChecks"]
"""Playwright answers for the page, which is so of no network: it could open no socket to this machine."""

_HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Bench</title>
<script type="module" src="/element/v1.js"></script>
<body><bellwire-inbox user="{user}"></bellwire-inbox></body></html>"""

_PAINTED = """
async ([key, user, count]) => {
  const root = document.querySelector('bellwire-inbox').shadowRoot;
  const badge = () => root.querySelector('[part~=badge]');
  const painted = (number) => new Promise((done) => {
    const look = () => {
      if (badge()?.textContent !== String(number)) return;
      watcher.disconnect();
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => done(performance.now()); // the frame has been made
        port2.postMessage(null);
      });
    };
    const watcher = new MutationObserver(look);
    watcher.observe(root, {subtree: true, childList: true, characterData: true});
    look();
  });
  const headers = {'X-API-Key': key, 'Content-Type': 'application/json'};
  const body = JSON.stringify({user_id: user, event: 'bench.done', message: 'Build 7 has passed.'});
  const taken = [];
  for (let number = 1; number <= count; number++) {
    const began = performance.now();
    const seen = painted(number);
    const answer = await fetch('/v1/notifications', {method: 'POST', headers, body});
    if (answer.status !== 202) throw new Error(`published: ${answer.status}`);
    taken.push((await seen - began) / 1000);
    await new Promise((over) => setTimeout(over, 20 * Math.random())); // not in step with the frames
  }
  return taken;
}
"""
"""Publishes from the page, so that one clock sees both ends, until the badge has the next number."""

_SCROLLED = """
async ([step, end]) => {
  const root = document.querySelector('bellwire-inbox').shadowRoot;
  const list = root.querySelector('[part~=list]');
  const scrolls = (node) => /auto|scroll/.test(getComputedStyle(node).overflowY);
  let place = list;
  while (place && !scrolls(place)) place = place.parentElement ?? place.getRootNode().host ?? null;
  place ??= document.scrollingElement;
  const frame = () => new Promise(requestAnimationFrame);
  let frames = 0, most = 0;
  const there = () => (step > 0 ? list.lastElementChild : list.firstElementChild)?.dataset.id === end;
  const began = performance.now();
  for (; !there() && performance.now() - began < 400_000; frames++) {
    place.scrollTop += step;
    most = Math.max(most, list.childElementCount);
    await frame();
  }
  await frame();
  return {frames, most, there: there(), seconds: (performance.now() - began) / 1000};
}
"""
"""Scrolls by so many pixels a frame, until a notification has the last row (down) or the first (up)."""
_DOWN, _UP = 400, -2000


def browser(context: Context) -> Iterator[Row]:
    """From a publish to the painted badge in Chromium, and 5,000 rows scrolled."""
    if (executable := chromium()) is None:
        return
    stack, wanted = context.stack, _BADGES_QUICK if context.quick else _BADGES
    stack.topic("browser")
    # While Playwright runs, this thread has an event loop: what needs one of its own comes before.
    key, users = context.api_key, context.users("badge", -(-wanted // _AT_ONCE))
    (reader,) = context.users("scrolled", 1)
    store(stack, "scrolled", _STORED)
    ends = f"SELECT min(id::text), max(id::text) FROM notifications WHERE user_id = '{reader.id}'"
    ((oldest, newest),) = stack.sql(ends)
    with (
        stack.service("consumer", "browser"),
        stack.service("api", "browser") as api,
        sync_playwright() as playwright,
    ):
        launched = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        page = launched.new_page(viewport={"width": 1000, "height": 800})
        yield _badges(api, page, key, users, wanted)
        _show(page, api, reader)
        page.evaluate("document.querySelector('bellwire-inbox').open()")
        for step, end in ((_DOWN, oldest), (_UP, newest)):
            yield _scrolled(page, launched, step, end)
        launched.close()


def _badges(api: Service, page: Page, key: str, users: Sequence[User], wanted: int) -> Row:
    taken: list[float] = []
    for user in users:
        _show(page, api, user)
        taken += page.evaluate(_PAINTED, [key, user.id, min(_AT_ONCE, wanted - len(taken))])
    row = timed("publish → badge painted, one by one", taken, 1 / (sum(taken) / len(taken)), "badges/s")
    p95 = percentile(taken, 0.95)
    return replace(row, note=f"p95 {p95 * 1000:.1f} ms", details={"p95": p95, "count": len(taken)})


def _scrolled(page: Page, browser: Browser, step: int, end: str) -> Row:
    browser.start_tracing(page=page, categories=_CATEGORIES)
    found = page.evaluate(_SCROLLED, [step, end])
    walls, tasks = _tasks(browser.stop_tracing())
    way = f"{'down' if step > 0 else 'up'} by {abs(step):,} pixels a frame"
    return Row(
        what=f"{_STORED:,} rows scrolled {way}: the longest task's processor time",
        value=max(tasks) * 1000,
        unit="ms",
        p50=percentile(tasks, 0.5),
        p99=percentile(tasks, 0.99),
        errors=int(not found["there"]),
        note=f"{_over(tasks)}; by the clock {max(walls) * 1000:.0f} ms, {_over(walls)}; "
        f"at most {found['most']} rows kept",
        details={**found, "longest": sorted(tasks)[-20:], "longest_by_the_clock": sorted(walls)[-20:]},
    )


def _over(tasks: list[float]) -> str:
    return f"{sum(task > _LONG for task in tasks)} of over 50 ms"


def _tasks(trace: bytes) -> tuple[list[float], list[float]]:
    """How long each task of the page's main thread took by the clock, and its processor time, which has
    nothing of other threads meanwhile. In seconds.
    """
    events = json.loads(trace)["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        (event["dur"] / 1e6, event["tdur"] / 1e6)
        for event in events
        if event["name"].endswith("RunTask") and "tdur" in event and (event["pid"], event["tid"]) in threads
    ]
    # A virtual machine's clock of a thread leaps now and then: no task took more of a processor than of time.
    return [wall for wall, _ in tasks], [min(task) for task in tasks]


def _show(page: Page, api: Service, user: User) -> None:
    """Open a page with the user's bell, until it is online."""
    url = f"http://127.0.0.1:{api.port}"
    html = _HTML.format(user=user.id)

    def answer(route: Route) -> None:
        route.fulfill(body=html, content_type="text/html")

    page.route(f"{url}/bench", answer)
    page.add_init_script("addEventListener('bellwire-state', ({detail}) => { window.told = detail })")
    page.goto(f"{url}/bench")
    page.evaluate("token => { document.querySelector('bellwire-inbox').token = () => token }", user.token)
    page.wait_for_function("window.told === 'online'")
    page.unroute(f"{url}/bench", answer)
