"""Planted bugs in what becomes of arrivals."""

from typing import Final

from tests.mutants.mutant import Mutant

ARRIVALS = "src/domain/arrivals.py"
JUDGING = "src/adapters/postgres/judging.py"
STORE = "alembic/versions/0008_store.py"

RULES = "tests/unit/test_arrivals.py"
MEMORY = "tests/unit/test_memory.py::TestMemoryArrivals"
SERVER = "tests/integration/test_postgres.py"
STORED = f"{SERVER}::TestPostgresArrivals"
LAST_MOMENT = f"{STORED}::test_a_choice_of_the_last_moment_counts"
FLIP = f"{STORED}::test_a_redelivery_after_a_flip_changes_nothing"

MUTANTS: Final = (
    Mutant(
        name="preference-read-before-the-lock",
        breaks="What is judged is judged by what the user wanted before the feed was locked.",
        file=JUDGING,
        old="    feeds = await connection.fetch(LOCK_FEEDS, sorted(arrivals))\n",
        new="""    early = await connection.fetch(
        "SELECT muted, wanted FROM feeds WHERE user_id = ANY($1::text[]) ORDER BY user_id", sorted(arrivals)
    )
    locked = await connection.fetch(LOCK_FEEDS, sorted(arrivals))
    feeds = [{**dict(row), **dict(before)} for row, before in zip(locked, early, strict=True)]
""",
        tests=(LAST_MOMENT,),
    ),
    Mutant(
        name="preference-read-in-an-older-snapshot",
        breaks="What is plain is stored although the user switched it off while the batch waited.",
        file=STORE,
        old="        array_agg(f.user_id) FILTER (WHERE f.muted <> '{}'),\n",
        new="        (SELECT array_agg(e.user_id) FROM feeds AS e"
        " WHERE e.user_id = ANY(users) AND e.muted <> '{}'),\n",
        tests=(LAST_MOMENT,),
    ),
    Mutant(
        name="counts-up-a-feed-that-is-not-locked",
        breaks="A feed that is made while a batch waits for its locks counts what is not stored in it.",
        file=STORE,
        old="    JOIN unnest(locked) AS held (user_id) ON held.user_id = growth.user_id\n",
        new="",
        tests=(f"{SERVER}::test_a_batch_that_waited_for_the_lock_sees_what_was_stored_meanwhile",),
    ),
    Mutant(
        name="elided-not-recorded",
        breaks="Of two in one batch with a key the first leaves no trace: when it comes again, it is on top.",
        file=ARRIVALS,
        old="            self._withhold(self._drafts[holder.id], Reason.SUPERSEDED)\n",
        new="",
        tests=(RULES, MEMORY, f"{STORED}::test_of_a_group_there_is_one"),
    ),
    Mutant(
        name="lower-revision-wins",
        breaks="The revision that comes last stands, not the highest.",
        file=ARRIVALS,
        old="draft.revision <= item.revision",
        new="draft.revision == item.revision",
        tests=(RULES, MEMORY, f"{STORED}::test_the_highest_revision_stands"),
    ),
    Mutant(
        name="tombstone-forgotten",
        breaks="What was taken back before it came is shown.",
        file=ARRIVALS,
        old="            self._withheld[one] = Withheld(user, one, reason)\n",
        new="            pass\n",
        tests=(RULES, MEMORY, f"{STORED}::test_a_tombstone_is_recorded_and_holds"),
    ),
    Mutant(
        name="late-one-not-counted",
        breaks="An older one of a group that comes late is withheld, and the group does not count it.",
        file=ARRIVALS,
        old="replace(holder, group=holder.group.joined(content.actor, newest=False))",
        new="holder",
        tests=(RULES, MEMORY, f"{STORED}::test_of_a_group_there_is_one"),
    ),
    Mutant(
        name="withheld-not-looked-up",
        breaks="What was withheld is stored when it comes again after the user changed the preference.",
        file=JUDGING,
        old='    if any(row["withheld_at"] is not None for row in feeds):\n',
        new="    if not feeds:\n",
        tests=(FLIP,),
    ),
    Mutant(
        name="withheld-not-looked-up-where-all-is-plain",
        breaks="What was withheld is stored when it comes again, if nothing else needs a look.",
        file=STORE,
        old="f.withheld_at > now() - interval '31 days'",
        new="f.withheld_at > now() + interval '31 days'",
        tests=(FLIP,),
    ),
    Mutant(
        name="withholding-leaves-no-mark",
        breaks="The feed does not remember that something was withheld, so nobody looks.",
        file=JUDGING,
        old="[bool(one.withheld) for one in outcomes]",
        new="[False for one in outcomes]",
        tests=(FLIP,),
    ),
    Mutant(
        name="expired-stays-expired",
        breaks="What had expired when it arrived is not shown by an edit that has not.",
        file=ARRIVALS,
        old="withheld is None or withheld.reason is not Reason.EXPIRED",
        new="True",
        tests=(RULES, MEMORY, f"{STORED}::test_what_had_expired_comes_back_with_an_edit_that_has_not"),
    ),
    Mutant(
        name="a-lower-revision-brings-it-back",
        breaks="What had expired is shown by an edit of a lower revision.",
        file=ARRIVALS,
        old="isinstance(arrival, Draft) and arrival.revision <= withheld.revision",
        new="False",
        tests=(RULES, MEMORY, f"{STORED}::test_what_had_expired_comes_back_with_an_edit_that_has_not"),
    ),
    Mutant(
        name="shown-and-still-withheld",
        breaks="What is shown after it had expired is counted as withheld too.",
        file=JUDGING,
        old="    if returned:",
        new="    if not made:",
        tests=(f"{STORED}::test_what_had_expired_comes_back_with_an_edit_that_has_not",),
    ),
    Mutant(
        name="edits-never-expire",
        breaks="An edit takes the expiry away that its category gives.",
        file=ARRIVALS,
        old="        if after.expires_at is None:\n",
        new="        if after.expires_at is None is item:\n",
        tests=(RULES, MEMORY, f"{STORED}::test_a_category_says_when_its_notifications_expire"),
    ),
    Mutant(
        name="retraction-says-more",
        breaks="A retraction carries an edit of the same moment, which nobody was told.",
        file=ARRIVALS,
        old="replace(self._known.held[item.id], retracted_at=self._now)",
        new="replace(item, retracted_at=self._now)",
        tests=(RULES,),
    ),
    Mutant(
        name="only-one-holder-read",
        breaks="If the newest of a group is taken back in the batch that joins it, the group falls apart.",
        file=JUDGING,
        old="    most = 1 + max(",
        new="    most = 1 or max(",
        tests=(f"{STORED}::test_holders_may_come_and_go_in_the_batch_that_joins_them",),
    ),
)
