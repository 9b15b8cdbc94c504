"""When an edited notification expires: the same in whatever order its original and its edits arrive."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations

import pytest

from domain.arrivals import Known, arrive
from domain.category import Category
from domain.feed import Feed
from domain.notification import Draft, Notification
from tests.build import ADA, LATER, NOW, a_draft

AFTER = timedelta(days=7)
CATEGORIES = {"comment": Category(id="comment", expires_after=AFTER)}


def revisions(expires_at: datetime | None) -> list[Draft]:
    """An original, an edit, and one that was made later and names this expiry."""
    original = a_draft(1)
    second = replace(original, revision=1, created_at=LATER)
    content = replace(original.content, expires_at=expires_at)
    return [original, second, replace(original, revision=2, content=content)]


def stored(arrivals: tuple[Draft, ...], *, together: bool) -> Notification:
    """The notification after these arrivals."""
    known = Known(Feed(ADA, "e", 0, 0), categories=CATEGORIES)
    for batch in [arrivals] if together else [(each,) for each in arrivals]:
        outcome = arrive(known, batch, NOW)
        for change in (outcome.edited, outcome.added):
            for item in change.notifications if change else ():
                known = replace(known, held={item.id: item})
    (found,) = known.held.values()
    return found


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("named", [None, NOW + timedelta(days=1)])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_notification_expires_as_its_last_revision_says_or_its_category(
    order: tuple[int, ...], named: datetime | None, *, together: bool
) -> None:
    drafts = revisions(named)
    found = stored(tuple(drafts[nth] for nth in order), together=together)

    assert found.revision == 2
    assert found.expires_at == (named or drafts[order[0]].created_at + AFTER)
