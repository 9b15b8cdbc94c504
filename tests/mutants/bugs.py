"""The planted bugs. `make mutants` plants each and sees which test notices.

To edit: `old` is a short text that is in `file` exactly once; `tests` is what is to catch the bug, quickest
suite first. `pytest tests/unit/test_mutants.py` says which entries no longer fit the code.
"""

from typing import Final

from tests.mutants import addresses, arrivals, limits, redis_ways
from tests.mutants.mutant import Mutant

# --- where things are: one line each, for when files move --------------------------------------------------

CATEGORY = "src/domain/category.py"
FEED = "src/domain/feed.py"
METADATA = "src/domain/metadata.py"
NOTIFICATION = "src/domain/notification.py"
STATES = "src/domain/states.py"

ACCOUNTS = "src/application/accounts.py"
KEY_LIMITS = "src/application/credentials.py"
DELIVERY = "src/application/delivery.py"
FOLLOWING = "src/application/following.py"
INBOX = "src/application/inbox.py"
MARKS = "src/application/marks.py"
API_KEYS = "src/application/keys.py"
KNOWN_KEYS = "src/application/known_keys.py"
PREFERENCES = "src/application/preferences.py"
PRUNING = "src/application/pruning.py"
PUBLISHING = "src/application/publishing.py"
RECONCILING = "src/application/reconciling.py"
REVOKING = "src/application/revoking.py"

APPEND = "alembic/versions/0008_store.py"
ARRIVALS = "src/adapters/postgres/arrivals.py"
CATEGORIES = "src/adapters/postgres/categories.py"
CHOICES = "src/adapters/postgres/preferences.py"
FEEDS = "src/adapters/postgres/feeds.py"
ALARMS = "src/adapters/postgres/alarms.py"
MARK = "src/adapters/postgres/mark.py"
RETENTION = "src/adapters/postgres/retention.py"
STORE_ERRORS = "src/adapters/postgres/errors.py"

ANNOUNCER = "src/adapters/redis/announcer.py"
ANSWERS = "src/adapters/redis/answers.py"
IDEMPOTENCY = "src/adapters/redis/idempotency.py"
LIVE_FRAMES = "src/adapters/redis/live.py"
MACS = "src/adapters/redis/macs.py"
PAGES = "src/application/pages.py"
REDIS_INDEX_ADAPTER = "src/adapters/redis/index.py"
SCRIPTS = "src/adapters/redis/scripts.py"
VERIFIED = "src/adapters/redis/verified.py"
SUBSCRIPTIONS = "src/adapters/redis/subscriptions.py"
TICKETS = "src/adapters/redis/tickets.py"

DEAD_LETTERS = "src/adapters/kafka/dead_letters.py"
HEADERS = "src/adapters/kafka/headers.py"
HOLES = "src/adapters/kafka/holes.py"
PRODUCER = "src/adapters/kafka/producer.py"
QUEUE = "src/adapters/kafka/queue.py"
READER = "src/adapters/kafka/reader.py"

PASSWORDS = "src/adapters/security/passwords.py"
PUBLIC_KEYS = "src/adapters/security/public_keys.py"
TOKENS = "src/adapters/security/tokens.py"

BOUNDS = "src/adapters/websocket/bounds.py"
DESCRIPTORS = "src/adapters/websocket/descriptors.py"
HANDSHAKE = "src/adapters/websocket/handshake.py"
HTTP = "src/adapters/websocket/http.py"
HUB = "src/adapters/websocket/hub.py"
HTTP_FRONT = "src/adapters/websocket/http.py"
NEWCOMERS = "src/adapters/websocket/newcomers.py"
SOCKET_READING = "src/adapters/websocket/reading.py"

FLOODS = "src/entrypoints/consumer/floods.py"
PARTITIONS = "src/entrypoints/consumer/partitions.py"
WORKER = "src/entrypoints/consumer/worker.py"

TOKENS_PART = "src/entrypoints/container/parts/tokens.py"
STRENGTH = "src/entrypoints/strength.py"
USER_ROUTES = "src/entrypoints/http/accounts.py"
GUARDS = "src/entrypoints/web/guards.py"
HEALTH = "src/entrypoints/web/health.py"
HOSTS = "src/entrypoints/web/hosts.py"
JSON_REQUEST = "src/entrypoints/web/json_request.py"
FAST_PATH = "src/entrypoints/web/fast_path.py"
MIDDLEWARE = "src/entrypoints/web/middleware.py"
HELLO = "src/entrypoints/live/hello.py"
LIFESPAN = "src/entrypoints/lifespan.py"
PROTOCOL = "src/entrypoints/live/protocol.py"
LIVENESS = "src/entrypoints/live/liveness.py"
SESSION = "src/entrypoints/live/session.py"
SESSIONS = "src/entrypoints/live/sessions.py"

CLIENT_EVENTS = "clients/python/src/bellwire_client/events.py"
CLIENT_INBOX = "clients/python/src/bellwire_client/inbox.py"
CLIENT_LIVE = "clients/python/src/bellwire_client/live.py"

UNIT = "tests/unit"
INTEGRATION = "tests/integration"
SIMULATION = "tests/simulation/test_simulation.py::test_every_promise_is_kept_in_every_schedule"
KAFKA = f"{INTEGRATION}/test_kafka.py"
READING = f"{INTEGRATION}/test_reading.py"
STORED_FEEDS = f"{INTEGRATION}/test_postgres.py::TestPostgresFeeds"
STORED_ALARMS = f"{INTEGRATION}/test_alarms.py"
STORED_RETENTION = f"{INTEGRATION}/test_retention.py::TestPostgresRetention"
REDIS_INDEX = f"{INTEGRATION}/test_redis.py::TestRedisUnreadIndex"
TRUST = f"{INTEGRATION}/test_redis_trust.py"
CLUSTER = f"{INTEGRATION}/test_redis_cluster.py"
THREE_THOUSAND = "test_three_thousand_connections_may_wait_for_a_process_that_is_busy"
SUBSCRIBING = f"{INTEGRATION}/test_subscribing.py"

# --- from the queue into the feeds -------------------------------------------------------------------------

CONSUMER = (
    Mutant(
        name="committed-before-stored",
        breaks="Offsets are committed before the records are stored: a crash in between loses them.",
        file=WORKER,
        old="stored = await self._store(batch.arrivals)",
        new=(
            "await self._reader.commit({part.partition: part.end for part in batch.parts})\n"
            "                stored = await self._store(batch.arrivals)"
        ),
        tests=(f"{UNIT}/test_worker.py", SIMULATION),
    ),
    Mutant(
        name="committed-before-announced",
        breaks="Offsets are committed before the announcement: a crash in between leaves it undone.",
        file=WORKER,
        old="        await announcing\n",
        new=(
            "        await self._reader.commit({part.partition: part.end for part in batch.parts})\n"
            "        await announcing\n"
        ),
        tests=(f"{UNIT}/test_worker.py", SIMULATION),
    ),
    Mutant(
        name="commits-out-of-order",
        breaks="A batch is finished without waiting for the one before it.",
        file=WORKER,
        old="            await self._finished()\n            for part",
        new="            for part",
        tests=(f"{UNIT}/test_worker.py", SIMULATION),
    ),
    Mutant(
        name="forgets-what-is-owed",
        breaks="A batch that was read before its partition was put back commits past what was put back.",
        file=PARTITIONS,
        old="if partition in self._owed and (part.first <= self._owed[partition] or read_again):",
        new="if partition in self._owed:",
        tests=(f"{UNIT}/test_worker.py", SIMULATION),
    ),
    Mutant(
        name="forgets-what-became-due",
        breaks="An offset that becomes due while another one is committed is forgotten.",
        file=PARTITIONS,
        old="if self.due_offsets.get(partition) == offset:",
        new="if True:",
        tests=(f"{UNIT}/test_worker.py",),
    ),
    Mutant(
        name="moves-during-a-commit",
        breaks="Partitions move while the offsets of what was stored are not committed yet.",
        file=WORKER,
        old="            await self._partitions.committed()\n        self._partitions.clear()",
        new="        self._partitions.clear()",
        tests=(f"{UNIT}/test_worker.py",),
    ),
    Mutant(
        name="commit-passes-a-dead-letter",
        breaks="An offset is committed past a dead letter that could not be written.",
        file=WORKER,
        old="self._partitions.put_back(part.partition, part.first, str(error))\n            return ",
        new="return end or ",
        tests=(f"{UNIT}/test_worker.py", SIMULATION),
    ),
    Mutant(
        name="dead-letters-dropped",
        breaks="What cannot be stored is passed without a dead letter.",
        file=WORKER,
        old="await self._dead_letters.put(letters)",
        new="await self._dead_letters.put([])",
        tests=(f"{UNIT}/test_worker.py", SIMULATION),
    ),
    Mutant(
        name="put-back-without-a-pause",
        breaks="A partition that was put back is read on with the others.",
        file=READER,
        old="            self._consumer.pause(partition)\n            self.go_to",
        new="            self.go_to",
        tests=(f"{KAFKA}::test_a_partition_that_was_put_back_is_read_alone_and_then_with_the_others",),
    ),
    Mutant(
        name="failed-read-not-taken-back",
        breaks="After a read that failed the positions stay where it has moved them: what it took is lost.",
        file=READER,
        old="undone = sorted(self._consumer.assignment() - self._consumer.paused())",
        new="undone = list[TopicPartition]()",
        tests=(
            SIMULATION,
            f"{READING}::test_while_one_partition_cannot_be_unpacked_nothing_of_the_others_is_lost",
        ),
    ),
    Mutant(
        name="reads-on-behind-a-hole",
        breaks="A record that the broker returns later than the one behind it is never read.",
        file=HOLES,
        old="fetcher.PartitionRecords = Consecutive",
        new="pass",
        tests=(f"{READING}::test_a_batch_that_can_be_read_later_than_the_one_behind_it_is_read",),
    ),
    Mutant(
        name="passes-over-a-hole-at-once",
        breaks="A hole is passed over when a partition is read alone for the first time.",
        file=HOLES,
        old="over_holes=final",
        new="over_holes=True",
        tests=(f"{READING}::test_a_batch_that_can_be_read_later_than_the_one_behind_it_is_read",),
    ),
    Mutant(
        name="waits-at-a-hole-for-ever",
        breaks="Offsets that a compacted topic no longer has stop their partition.",
        file=HOLES,
        old="self._looks[place] += 1",
        new="pass",
        tests=(f"{READING}::test_offsets_that_the_broker_never_returns_hold_up_nothing_for_long",),
    ),
    Mutant(
        name="no-flood-stops",
        breaks="However many bad records come in a row, no partition stops.",
        file=FLOODS,
        old="if blame is not None and not proven and not self._admits(row, blame):",
        new="if False:",
        tests=(f"{UNIT}/test_worker.py",),
    ),
    Mutant(
        name="one-sender-stops",
        breaks="Bad records of one sender stop a partition like those of many.",
        file=FLOODS,
        old="if alike[sender] >= max(1, limit // SENDERS):",
        new="if False:",
        tests=(f"{UNIT}/test_worker.py",),
    ),
    Mutant(
        name="keys-are-not-charged",
        breaks="A key whose records become dead letters may go on publishing.",
        file=WORKER,
        old="if refused and self._charge_refused is not None:",
        new="if False:",
        tests=(f"{UNIT}/test_worker.py",),
    ),
    Mutant(
        name="charged-keys-publish-on",
        breaks="The API does not look at what a key was charged with.",
        file=GUARDS,
        old="check(scope, limits.refused, key_id)",
        new="pass",
        tests=(f"{UNIT}/test_limited.py",),
    ),
    Mutant(
        name="batches-unpack-to-anything",
        breaks="A record batch that unpacks to gigabytes ends its consumers.",
        file="src/adapters/kafka/unpacking.py",
        old="setattr(module, bounded.__name__, bounded)",
        new="pass",
        tests=(f"{UNIT}/test_records.py",),
    ),
    Mutant(
        name="dead-letter-without-headers",
        breaks="A dead letter does not say where its record was, nor why it is one.",
        file=DEAD_LETTERS,
        old="headers=self._headers(failure, value)",
        new="headers=None",
        tests=(f"{KAFKA}::test_what_cannot_be_stored_is_kept_byte_for_byte_with_the_reason",),
    ),
    Mutant(
        name="replay-counts-anew",
        breaks="A record that was replayed and fails again does not count on, and is replayed for ever.",
        file=HEADERS,
        old="ATTEMPT: str(first.attempts + 1)",
        new='ATTEMPT: "1"',
        tests=(f"{UNIT}/test_dead_letters.py",),
    ),
    Mutant(
        name="records-without-a-key",
        breaks="Records of one user go to any partition, and are no longer in order.",
        file=QUEUE,
        old="return draft.content.user_id.encode(), ",
        new="return None, ",
        tests=(f"{KAFKA}::test_a_record_is_keyed_by_user_and_carries_the_trace",),
    ),
    Mutant(
        name="accepted-though-it-failed",
        breaks="A publish that the broker refused is answered as accepted.",
        file=PRODUCER,
        old="batch.settle(accepted=False)\n        return again",
        new="batch.settle(accepted=True)\n        return again",
        tests=(
            f"{UNIT}/test_producer.py::test_an_error_that_stays_fails_its_batch_and_no_other",
            f"{INTEGRATION}/test_broker_faults.py::test_an_error_that_no_retry_helps_is_told_and_the_next_publish_works",
        ),
    ),
    Mutant(
        name="sent-again-behind-later-records",
        breaks="A batch that is sent again after an error comes behind what was published after it.",
        file=PRODUCER,
        old="self._queued.setdefault(partition, deque()).appendleft(batch)",
        new="self._queued.setdefault(partition, deque()).append(batch)",
        tests=(f"{UNIT}/test_producer.py::test_what_may_pass_is_sent_again_before_what_came_later",),
    ),
    Mutant(
        name="two-batches-of-a-partition-in-flight",
        breaks="When a leader moves, its next batch overtakes the one that is in flight to the old leader.",
        file=PRODUCER,
        old=" or partition in self._in_flight:",
        new=":",
        tests=(f"{UNIT}/test_producer.py::test_when_the_leader_moves_its_records_follow_in_order",),
    ),
    Mutant(
        name="redelivery-not-announced",
        breaks="Records that come again are not announced: a crash before the announcement leaves it undone.",
        file=DELIVERY,
        old="[*appended.present, *appended.changed, *appended.added]",
        new="[*appended.changed, *appended.added]",
        tests=(f"{UNIT}/test_delivery.py", SIMULATION),
    ),
    Mutant(
        name="announced-before-stored",
        breaks="A batch is announced before it is committed: what fails or comes again is told all the same.",
        file=DELIVERY,
        old="        try:\n            return Stored(await self.feeds.append(drafts, now))\n",
        new=(
            "        try:\n"
            "            from domain.feed import Settled\n"
            "            for draft in drafts:\n"
            "                try:\n"
            "                    feed = await self.feeds.feed(draft.user_id)\n"
            "                except Exception:\n"
            "                    continue\n"
            "                feed = replace(feed, version=feed.version + 1)\n"
            "                await self.announcer.announce([Settled(feed)])\n"
            "            return Stored(await self.feeds.append(drafts, now))\n"
        ),
        tests=(f"{UNIT}/test_delivery.py", SIMULATION),
    ),
    Mutant(
        name="stored-twice",
        breaks="What is in a feed already is told as added when it comes again.",
        file=APPEND,
        old="left_out := locked;",
        new="left_out := '{}';",
        tests=(f"{STORED_FEEDS}::test_a_redelivered_batch_changes_nothing_and_is_reported",),
    ),
    Mutant(
        name="appended-without-the-lock",
        breaks="Two batches number a feed's notifications at the same time.",
        file=APPEND,
        old="ORDER BY feeds.user_id FOR NO KEY UPDATE",
        new="ORDER BY feeds.user_id",
        tests=(f"{STORED_FEEDS}::test_changes_at_once_leave_no_hole_and_exact_counts",),
    ),
    Mutant(
        name="dated-ahead",
        breaks="A notification may be dated years ahead, and stays on top of its list.",
        file=NOTIFICATION,
        old="if self.created_at > now + AHEAD:",
        new="if False:",
        tests=(f"{UNIT}/test_delivery.py", f"{UNIT}/test_notification.py"),
    ),
    Mutant(
        name="any-time-is-taken",
        breaks="A time that no store can keep passes the rules.",
        file=NOTIFICATION,
        old="if not EARLIEST <= time <= LATEST:",
        new="if False:",
        tests=(f"{UNIT}/test_notification.py", f"{UNIT}/test_codec.py"),
    ),
    Mutant(
        name="expired-stays",
        breaks="A notification that was taken back is due again, and again.",
        file=FEEDS,
        old="WHERE n.{due} <= $1 AND {waiting} ORDER",
        new="WHERE n.{due} <= $1 ORDER",
        tests=(f"{STORED_FEEDS}::test_what_has_expired_is_listed_oldest_first_until_it_is_retracted",),
    ),
)

# --- publishing --------------------------------------------------------------------------------------------

PRODUCERS = (
    Mutant(
        name="idempotency-key-not-claimed",
        breaks="A request that is sent again with its idempotency key makes a second notification.",
        file=PUBLISHING,
        old="            notification_id = await _claim(",
        new="            await _claim(",
        tests=(f"{UNIT}/test_publishing.py",),
    ),
    Mutant(
        name="idempotency-key-forgotten",
        breaks="Redis stores another id under a key that has one.",
        file=SCRIPTS,
        old="if held ~= '' and held ~= ARGV[4] then",
        new="if false then",
        tests=(f"{INTEGRATION}/test_redis.py::TestRedisIdempotencyKeys::test_a_key_stands_for_its_first_id",),
    ),
    Mutant(
        name="idempotency-key-for-any-body",
        breaks="A key that is used again with another body is answered with the first notification.",
        file=IDEMPOTENCY,
        old="if held[_ID_BYTES:] != fingerprint.encode():",
        new="if False:",
        tests=(
            f"{INTEGRATION}/test_redis.py::TestRedisIdempotencyKeys::test_a_key_with_another_body_is_refused",
        ),
    ),
    Mutant(
        name="metadata-rewritten",
        breaks="Metadata is parsed and written again: numbers and doubled keys change.",
        file=METADATA,
        old='compact = "".join(_TOKENS.findall(text))',
        new='compact = json.dumps(json.loads(text), separators=(",", ":"))',
        tests=(f"{UNIT}/test_metadata.py", f"{UNIT}/test_codec.py"),
    ),
    Mutant(
        name="api-key-scope-not-checked",
        breaks="Any API key may do everything.",
        file=API_KEYS,
        old="if scope not in key.scopes:",
        new="if False:",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="api-key-secret-not-checked",
        breaks="The id of an API key is enough, whatever the secret.",
        file=API_KEYS,
        old="or not hmac.compare_digest(key.secret_hash, hash_secret(parts[3]))",
        new="or not parts[3]",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="revoked-api-key-works",
        breaks="An API key that was revoked or has expired is still good.",
        file=API_KEYS,
        old="or not key.usable(now)",
        new="or False",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="api-key-of-any-environment",
        breaks="A key of another environment is looked up like one of this.",
        file=API_KEYS,
        old=" or parts[1] != self.environment:",
        new=":",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="api-key-touches-everybody",
        breaks="A key that is limited to a prefix touches users beyond it.",
        file=KEY_LIMITS,
        old="if self.user_prefix is not None and not user.startswith(self.user_prefix):",
        new="if False:",
        tests=(f"{UNIT}/test_keys.py", f"{UNIT}/test_tenancy.py"),
    ),
    Mutant(
        name="path-not-checked-against-prefix",
        breaks="A key that is limited to a prefix locks out and reads users beyond it.",
        file=GUARDS,
        old='key.check(connection.path_params["user_id"])',
        new="pass",
        tests=(f"{UNIT}/test_tenancy.py",),
    ),
    Mutant(
        name="batch-not-checked-against-prefix",
        breaks="A key that is limited to a prefix notifies users beyond it in a batch.",
        file=PUBLISHING,
        old="key.check(item.user_id, item.event)",
        new="pass",
        tests=(f"{UNIT}/test_tenancy.py",),
    ),
    Mutant(
        name="admin-key-exceeds-itself",
        breaks="A key that is limited to a prefix makes keys for other prefixes.",
        file=API_KEYS,
        old="if by is not None and not by.covers(key):",
        new="if False:",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="unknown-keys-cost-lookups",
        breaks="Every API key that nobody has costs a query.",
        file=KNOWN_KEYS,
        old="if self._lookups < 1:",
        new="if False:",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="keys-trusted-for-ever",
        breaks="With PostgreSQL away a revoked key stays valid.",
        file=KNOWN_KEYS,
        old="<= _TRUSTED_SECONDS:",
        new="<= inf:",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="wrong-secret-sets-last-use",
        breaks="Whoever knows the id of a key sets when it was last used.",
        file=API_KEYS,
        old=" = await self.known.find(parts[2]), self.clock()\n",
        new=" = await self.known.find(parts[2]), self.clock()\n        self.known.note_use(parts[2], now)\n",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="sender-not-recorded",
        breaks="A notification does not say which key sent it.",
        file=QUEUE,
        old="headers.append((KEY, draft.key_id.encode()))",
        new="pass",
        tests=(f"{KAFKA}::test_a_record_is_keyed_by_user_and_carries_the_trace",),
    ),
)

# --- users, tokens, tickets --------------------------------------------------------------------------------

CREDENTIALS = (
    Mutant(
        name="disabled-user-logs-in",
        breaks="A user who is locked out can log in.",
        file=ACCOUNTS,
        old=" or found[0].disabled_at is not None:",
        new=":",
        tests=(f"{UNIT}/test_accounts.py",),
    ),
    Mutant(
        name="revoked-token-works",
        breaks="A token that was revoked is good until it expires.",
        file=ACCOUNTS,
        old="if self.revocations.is_revoked(claims):",
        new="if False:",
        tests=(f"{UNIT}/test_accounts.py",),
    ),
    Mutant(
        name="revoked-stream-goes-on",
        breaks="A stream outlives the revocation of its token.",
        file=SESSION,
        old="elif self._with.revocations.is_revoked(claims):",
        new="elif False:",
        tests=(f"{UNIT}/test_sessions.py", f"{UNIT}/test_events.py"),
    ),
    Mutant(
        name="any-audience",
        breaks="A token that was made for something else with the same secret is accepted.",
        file=TOKENS,
        old="Options = {**_LEFT_TO_US,",
        new='Options = {**_LEFT_TO_US, "verify_aud": False,',
        tests=(f"{UNIT}/test_credentials.py",),
    ),
    Mutant(
        name="token-without-end",
        breaks="A token that has expired is still good.",
        file=TOKENS,
        old="if claims.expires_at <= at:",
        new="if False:",
        tests=(f"{UNIT}/test_credentials.py",),
    ),
    Mutant(
        name="token-chooses-its-algorithm",
        breaks="A token decides how it is verified, not the key.",
        file=TOKENS,
        old="return self._checked(token, key.key, key.algorithm)",
        new='return self._checked(token, key.key, header["alg"])',
        tests=(f"{UNIT}/test_tokens.py",),
    ),
    Mutant(
        name="token-from-a-clock-ahead",
        breaks="Signing out everywhere misses tokens of an issuer whose clock is ahead.",
        file=TOKENS,
        old="issued_at=issued if ours else issued - self._skew,",
        new="issued_at=issued,",
        tests=(f"{UNIT}/test_credentials.py", f"{UNIT}/test_http.py"),
    ),
    Mutant(
        name="logged-out-token-works",
        breaks="A token that was logged out is good until it expires.",
        file=REVOKING,
        old=") or claims.token_id in self._revoked_tokens",
        new=")",
        tests=(f"{UNIT}/test_accounts.py",),
    ),
    Mutant(
        name="keys-fetched-for-every-token",
        breaks="Anyone can make the service fetch the keys all the time.",
        file=PUBLIC_KEYS,
        old="self._now() - self._tried_at < self._pause_seconds",
        new="False",
        tests=(f"{UNIT}/test_tokens.py",),
    ),
    Mutant(
        name="user-tokens-operate",
        breaks="Whoever mints users' tokens can operate the service.",
        file=TOKENS_PART,
        old="_operator_tokens, Base.setting.operator_secret,",
        new="_operator_tokens, Base.setting.token_secret,",
        tests=(f"{UNIT}/test_draining.py",),
    ),
    Mutant(
        name="anyone-chooses-an-id",
        breaks="Anyone who signs up can be the user to whom an application is about to send.",
        file=USER_ROUTES,
        old="if user_id is not None and key is None:",
        new="if False:",
        tests=(f"{UNIT}/test_http.py",),
    ),
    Mutant(
        name="weak-secret",
        breaks="A process starts with a secret that can be guessed.",
        file=STRENGTH,
        old="if any(word in plain for word in _PLACEHOLDERS):",
        new="if False:",
        tests=(f"{UNIT}/test_settings.py",),
    ),
    Mutant(
        name="any-password",
        breaks="Every password is right for every account.",
        file=PASSWORDS,
        old="        return False\n",
        new="        return True\n",
        tests=(f"{UNIT}/test_credentials.py",),
    ),
    Mutant(
        name="ticket-twice",
        breaks="A stream ticket can be used again.",
        file=TICKETS,
        old="self._take(client, keys=[name])",
        new="client.get(name)",
        tests=(f"{INTEGRATION}/test_redis.py::TestRedisTickets::test_a_ticket_admits_once",),
    ),
    Mutant(
        name="cluster-ticket-in-another-slot",
        breaks="In a Redis Cluster no stream ticket can be issued.",
        file="src/adapters/redis/names.py",
        old='return f"{{{tag}}}:" if tag else ""',
        new='return f"{tag}:" if tag else ""',
        tests=(f"{UNIT}/test_redis_cluster.py",),
    ),
    Mutant(
        name="cluster-node-fails-the-batch",
        breaks="While one master of a Redis Cluster is away, nothing is announced to anybody.",
        file="src/adapters/redis/cluster.py",
        old="            return [error] * len(calls)\n",
        new="            raise\n",
        tests=(f"{CLUSTER}::test_a_master_that_dies_is_missed_only_by_its_own_users",),
    ),
    Mutant(
        name="cluster-slot-without-subscription",
        breaks="When a slot of a Redis Cluster moves, streams of its users get nothing live any more.",
        file="src/adapters/redis/cluster_live.py",
        old="                there.take_over(user)\n",
        new="                pass\n",
        tests=(f"{CLUSTER}::test_a_slot_that_moved_is_followed_and_its_streams_compare_themselves",),
    ),
    Mutant(
        name="cluster-gap-of-a-moved-slot",
        breaks="What is published while a slot moves never reaches the streams of its users.",
        file=SUBSCRIPTIONS,
        old="self._asked[user].released = True  # nobody waits",
        new="pass  # nobody waits",
        tests=(f"{UNIT}/test_subscriptions.py",),
    ),
    Mutant(
        name="token-of-another-user",
        breaks="With any token one reads the feed of anybody over REST.",
        file=GUARDS,
        old='if claims.user_id != connection.path_params["user_id"]:',
        new="if False:",
        tests=(f"{UNIT}/test_http.py::test_no_route_takes_another_users_token",),
    ),
    Mutant(
        name="stream-of-another-user",
        breaks="With any token one follows the feed of anybody.",
        file=HELLO,
        old="if claims.user_id != user:",
        new="if False:",
        tests=(f"{UNIT}/test_live.py", f"{UNIT}/test_events.py"),
    ),
    Mutant(
        name="notification-of-another-user",
        breaks="Anyone who knows the id of a notification can read it.",
        file=FEEDS,
        old="WHERE user_id = $1 AND id = $2 AND {where(VISIBLE)}",
        new="WHERE $1::text IS NOT NULL AND id = $2 AND {where(VISIBLE)}",
        tests=(f"{STORED_FEEDS}::test_a_notification_is_found_by_its_owner_alone",),
    ),
    Mutant(
        name="any-origin",
        breaks="A page of any site may open a stream.",
        file=HELLO,
        old="if not ours:",
        new="if False:",
        tests=(f"{UNIT}/test_live.py", f"{UNIT}/test_events.py"),
    ),
)

# --- marks, pages, retention -------------------------------------------------------------------------------

VIEWS_AND_MARKS = (
    Mutant(
        name="mark-without-count",
        breaks="Reading a notification does not change the stored count.",
        file=MARK,
        old="unread_count = feed.unread_count + total.gained",
        new="unread_count = feed.unread_count",
        tests=(f"{STORED_FEEDS}::test_the_unread_count_is_exact_after_every_mark",),
    ),
    Mutant(
        name="second-read-wins",
        breaks="Reading again changes the time of the first read, and takes a version.",
        file=STATES,
        old="return self.of & Condition(lacks=(self.sets,))",
        new="return self.of",
        tests=(f"{UNIT}/test_states.py", f"{STORED_FEEDS}::test_the_first_read_wins"),
    ),
    Mutant(
        name="category-forgotten-on-unarchive",
        breaks="A category loses what is archived, and gets nothing back when it is unarchived.",
        file=MARK,
        old="jsonb_object_agg(category, coalesce((unread_in ->> category)::bigint, 0) + gained) AS unread_in",
        new="jsonb_object_agg(category, coalesce((unread_in ->> category)::bigint, 0) + least(gained, 0))\n"
        "            AS unread_in",
        tests=(f"{STORED_FEEDS}::test_unarchiving_gives_a_category_its_count_back",),
    ),
    Mutant(
        name="seen-by-time-instead-of-version",
        breaks="An opening marks what came later seen, if it is dated earlier.",
        file=MARK,
        old='_UNSEEN = f"{_OLDER} AND n.version > feed.seen_version"',
        new='_UNSEEN = """notifications AS n ON n.user_id = feed.user_id AND n.created_at <= '
        "(SELECT max(o.created_at) FROM notifications AS o WHERE o.user_id = feed.user_id "
        'AND o.version <= $2::bigint) AND feed.epoch = $3 AND ($5::text IS NULL OR n.category = $5)"""',
        tests=(f"{STORED_FEEDS}::test_what_came_late_is_unseen_although_it_is_dated_earlier",),
    ),
    Mutant(
        name="seen-beyond-the-feed",
        breaks="A position ahead of the feed hides from openings what comes next.",
        file=MARK,
        old="greatest(feed.seen_version, least($2::bigint, feed.version))",
        new="greatest(feed.seen_version, $2::bigint)",
        tests=(f"{STORED_FEEDS}::test_an_opening_hides_nothing_that_is_still_unseen",),
    ),
    Mutant(
        name="seen-of-a-category-for-all",
        breaks="Marking one category seen hides the others from later openings.",
        file=MARK,
        old="seen_version = CASE WHEN $5::text IS NULL",
        new="seen_version = CASE WHEN true OR $5::text IS NULL",
        tests=(f"{STORED_FEEDS}::test_an_opening_hides_nothing_that_is_still_unseen",),
    ),
    Mutant(
        name="an-opening-writes",
        breaks="An opening with nothing new locks the feed's row, which is a write.",
        file=MARK,
        old='_IF_UNSEEN = "AND unseen_count > 0"',
        new='_IF_UNSEEN = ""',
        tests=(f"{INTEGRATION}/test_postgres.py::test_an_opening_with_nothing_new_writes_nothing",),
    ),
    Mutant(
        name="archived-is-unread",
        breaks="For the domain's rules an archived notification counts as unread.",
        file=STATES,
        old='UNREAD = SHOWN & Condition(lacks=("read_at",))',
        new='UNREAD = VISIBLE & Condition(lacks=("read_at", "snoozed_until"))',
        tests=(f"{UNIT}/test_states.py", f"{UNIT}/test_notification.py", f"{UNIT}/test_memory.py"),
    ),
    Mutant(
        name="listing-shows-retracted",
        breaks="A listing of everything shows what was taken back.",
        file=STATES,
        old="Status.ALL: SHOWN,",
        new='Status.ALL: Condition(lacks=("archived_at", "snoozed_until")),',
        tests=(f"{UNIT}/test_states.py", f"{STORED_FEEDS}::test_a_view_shows_what_belongs_to_it"),
    ),
    Mutant(
        name="retention-forgets-archived",
        breaks="Retention takes an archived notification for an unread one, and the count is wrong for ever.",
        file=RETENTION,
        old="({where(UNREAD)})::int AS unread",
        new="(n.read_at IS NULL AND n.retracted_at IS NULL)::int AS unread",
        tests=(f"{STORED_RETENTION}::test_what_was_unread_of_it_is_counted_no_more",),
    ),
    Mutant(
        name="retention-without-horizon",
        breaks="A client from before a deletion resumes as if nothing were missing.",
        file=RETENTION,
        old="horizon = feeds.version + 1,",
        new="horizon = feeds.horizon,",
        tests=(
            STORED_RETENTION
            + "::test_a_feed_that_lost_something_is_at_a_new_version_and_cannot_be_replayed_from_before",
        ),
    ),
    Mutant(
        name="retention-a-month-early",
        breaks="Retention deletes a month that is to be kept.",
        file=PRUNING,
        old="utc.month - 1 - keep_months",
        new="utc.month - keep_months",
        tests=(f"{UNIT}/test_pruning.py",),
    ),
    Mutant(
        name="mark-without-wire-field",
        breaks="A mark has no field in the frames: clients do not learn what changed.",
        file=PROTOCOL,
        old="    retracted_at: Annotated[Timestamp",
        new="    taken_back_at: Annotated[Timestamp",
        tests=(f"{UNIT}/test_marks.py",),
    ),
    Mutant(
        name="unread-told-as-read",
        breaks="A notification that is unread again is told as read.",
        file=FEED,
        old="return {rule.sets: rule.value(self.at)}",
        new="return {rule.sets: self.at}",
        tests=(f"{UNIT}/test_live.py", f"{UNIT}/test_wire.py"),
    ),
    Mutant(
        name="repeated-mark-not-announced",
        breaks="A mark that is repeated because its answer was lost is not announced.",
        file=MARKS,
        old="[marked if marked.changed else Settled(marked.feed) for marked in made]",
        new="[marked for marked in made if marked.changed]",
        tests=(f"{UNIT}/test_inbox.py", SIMULATION),
    ),
    Mutant(
        name="alarm-deleted-in-another-transaction",
        breaks="Who dies while alarms ring loses them: what was snoozed never comes back.",
        file=ALARMS,
        old="            due = await connection.fetch(_DELETE, kind, users, ids)\n",
        new="            async with driver(self._engine) as other:\n"
        "                due = await other.fetch(_DELETE, kind, users, ids)\n",
        tests=(f"{STORED_ALARMS}::test_who_dies_between_the_work_and_the_commit_has_done_nothing",),
    ),
    Mutant(
        name="alarm-rings-again",
        breaks="An alarm that rang is not deleted, and is taken again and again.",
        file=ALARMS,
        old="DELETE FROM alarms USING unnest($2::text[], $3::uuid[]) AS taken (user_id, id)\nWHERE",
        new="UPDATE alarms SET kind = kind FROM unnest($2::text[], $3::uuid[]) AS taken (user_id, id)\nWHERE",
        tests=(f"{STORED_ALARMS}::TestPostgresAlarms",),
    ),
    Mutant(
        name="alarm-waits-for-a-feed",
        breaks="One feed that is locked for long holds up the alarms of all others.",
        file=ALARMS,
        old="FOR NO KEY UPDATE OF feeds SKIP LOCKED",
        new="FOR NO KEY UPDATE OF feeds NOWAIT",
        tests=(f"{STORED_ALARMS}::test_a_feed_that_is_being_changed_waits_for_its_turn_and_holds_up_nobody",),
    ),
    Mutant(
        name="unarchived-without-alarm",
        breaks="What was archived while snoozed, and is unarchived after its time, stays away for ever.",
        file=STATES,
        old='Rule("archived_at", To.NOTHING, may_snooze=True)',
        new='Rule("archived_at", To.NOTHING)',
        tests=(f"{UNIT}/test_memory.py::TestMemoryAlarms", f"{STORED_ALARMS}::TestPostgresAlarms"),
    ),
    Mutant(
        name="archived-wakes",
        breaks="What was archived while snoozed wakes.",
        file=STATES,
        old='SNOOZED = VISIBLE & Condition(has=("snoozed_until",), lacks=("archived_at",))',
        new='SNOOZED = VISIBLE & Condition(has=("snoozed_until",))',
        tests=(f"{UNIT}/test_memory.py::TestMemoryAlarms", f"{STORED_ALARMS}::TestPostgresAlarms"),
    ),
    Mutant(
        name="choice-not-announced",
        breaks="What a user chose reaches no other device.",
        file=PREFERENCES,
        old="[chosen if chosen.changed else Settled(chosen.feed)]",
        new="[]",
        tests=(f"{UNIT}/test_preferences.py",),
    ),
    Mutant(
        name="repeated-choice-not-announced",
        breaks="A choice that is repeated because its answer was lost is not announced.",
        file=PREFERENCES,
        old="[chosen if chosen.changed else Settled(chosen.feed)]",
        new="[chosen] if chosen.changed else []",
        tests=(f"{UNIT}/test_preferences.py",),
    ),
    Mutant(
        name="choice-cancelled-with-its-caller",
        breaks="A client that goes away leaves a choice that was stored and is not announced.",
        file=PREFERENCES,
        old="await asyncio.shield(task)",
        new="await task",
        tests=(f"{UNIT}/test_preferences.py",),
    ),
    Mutant(
        name="mandatory-switched-off",
        breaks="A choice hides a category that is mandatory.",
        file=CATEGORY,
        old="    return mandatory or (",
        new="    return (",
        tests=(f"{UNIT}/test_category.py",),
    ),
    Mutant(
        name="mandatory-choice-accepted",
        breaks="A user may ask for a mandatory category to be switched off.",
        file=CATEGORY,
        old="    if forced:\n",
        new="    if not forced and mandatory is None:\n",
        tests=(f"{UNIT}/test_preferences.py",),
    ),
    Mutant(
        name="choice-moves-nothing",
        breaks="A choice takes no version of the feed, so that nobody can tell what came before it.",
        file=CHOICES,
        old="SET version = feed.version + 1, preferences_version",
        new="SET preferences_version",
        tests=(f"{INTEGRATION}/test_postgres.py::TestPostgresPreferences",),
    ),
    Mutant(
        name="choice-read-before-the-lock",
        breaks="A choice is added to what was chosen before the feed was locked, and undoes another.",
        file=CHOICES,
        old="SELECT * FROM feeds WHERE user_id = $1 FOR NO KEY UPDATE",
        new="SELECT * FROM feeds WHERE user_id = $1",
        tests=(f"{INTEGRATION}/test_postgres.py::TestPostgresPreferences",),
    ),
    Mutant(
        name="choice-empties-the-index",
        breaks="Every choice drops the user's entry of the index.",
        file=REDIS_INDEX_ADAPTER,
        old="case Added() | Chosen():",
        new="case Added():",
        tests=(f"{INTEGRATION}/test_redis.py::TestRedisUnreadIndex",),
    ),
    Mutant(
        name="categories-entered-without-a-lock",
        breaks="Consumers that enter categories at once exceed their number.",
        file=CATEGORIES,
        old='"LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE"',
        new='"SELECT 1"',
        tests=(f"{INTEGRATION}/test_postgres.py::TestPostgresCategories",),
    ),
    Mutant(
        name="marks-wait-for-locks",
        breaks="A user whose feed is locked holds up all whose marks share the statement.",
        file=MARK,
        old='if_locked="" if waits else "SKIP LOCKED"',
        new='if_locked=""',
        tests=(f"{INTEGRATION}/test_postgres.py::test_a_user_whose_feed_is_locked_holds_up_nobody",),
    ),
    Mutant(
        name="marks-out-of-order",
        breaks="Two marks of a user that arrive together are made at the same time, in any order.",
        file=MARKS,
        old="        self._busy.add(user)\n",
        new="",
        tests=(f"{UNIT}/test_marks_together.py",),
    ),
    Mutant(
        name="one-mark-fails-all",
        breaks="If the store refuses the mark of one user, those that share its statement fail too.",
        file=MARKS,
        old="""            if len(batch) == 1:
                self._release([batch[0].request.user_id])
                self._answer(batch[0], error)
                return
""",
        new="""            for asked in batch:
                self._release([asked.request.user_id])
                self._answer(asked, error)
            return
""",
        tests=(f"{UNIT}/test_marks_together.py",),
    ),
    Mutant(
        name="mark-from-another-life",
        breaks="Marking up to a cursor of a restored database marks what nobody has seen.",
        file=MARK,
        old="AND feed.epoch = $3",
        new="AND $3::text IS NOT NULL",
        tests=(f"{STORED_FEEDS}::test_a_mark_up_to_a_position_of_another_life_changes_nothing",),
    ),
    Mutant(
        name="page-off-by-one",
        breaks="The last notification of a page is the first of the next one as well.",
        file=FEEDS,
        old="n.id < $3::uuid",
        new="n.id <= $3::uuid",
        tests=(f"{STORED_FEEDS}::test_pages_follow_each_other_without_overlap_or_hole",),
    ),
    Mutant(
        name="history-off-by-one",
        breaks="A catch-up begins with the change that the client has already.",
        file=FEEDS,
        old="n.version > wanted.after",
        new="n.version >= wanted.after",
        tests=(f"{STORED_FEEDS}::test_history_comes_in_version_order_page_by_page",),
    ),
    Mutant(
        name="collision-not-retried",
        breaks="The victim of a deadlock fails instead of being tried again.",
        file=STORE_ERRORS,
        old="for pause in _PAUSES_SECONDS:",
        new="for pause in ():",
        tests=(
            f"{UNIT}/test_postgres_errors.py",
            f"{INTEGRATION}/test_postgres_faults.py::test_the_victim_of_a_deadlock_is_tried_again",
        ),
    ),
)

# --- the unread index --------------------------------------------------------------------------------------

INDEX = (
    Mutant(
        name="index-takes-any-version",
        breaks="The index applies a change that does not follow what it holds.",
        file=SCRIPTS,
        old="held[1] == epoch and at == prev and whole",
        new="held[1] == epoch and whole",
        tests=(f"{REDIS_INDEX}::test_a_gap_drops_the_entry",),
    ),
    Mutant(
        name="forged-item-is-shown",
        breaks="What somebody else wrote into the index is shown.",
        file=MACS,
        old='return found if _same("".join(expected).encode(), b"".join(given)) else None',
        new="return found",
        tests=(TRUST,),
    ),
    Mutant(
        name="page-of-any-part",
        breaks="A page of another length, or from another place, is taken for the one that was asked for.",
        file=VERIFIED,
        old="return held if held is not None and held.part == part else None",
        new="return held",
        tests=(f"{UNIT}/test_verified_pages.py",),
    ),
    Mutant(
        name="forged-head-is-shown",
        breaks="The position and count that somebody else wrote into the index are shown.",
        file=REDIS_INDEX_ADAPTER,
        old="if not compare_digest(self._macs.head(user, epoch, version, count, others).encode(), code):",
        new="if False:",
        tests=(TRUST,),
    ),
    Mutant(
        name="forged-value-is-believed",
        breaks="A ticket that somebody wrote to Redis admits, and orders of anybody are followed.",
        file=MACS,
        old="return value if _same(_of(self._value, (key, value)).digest(), stored[:MAC_BYTES]) else None",
        new="return value",
        tests=(TRUST,),
    ),
    Mutant(
        name="forged-frame-is-sent",
        breaks="What somebody else publishes in Redis reaches the streams.",
        file=LIVE_FRAMES,
        old="elif (packed := self._macs.opened(name, data)) is not None:",
        new="elif packed := data[16:]:",
        tests=(TRUST,),
    ),
    Mutant(
        name="one-key-stops-announcements",
        breaks="A key of another type keeps the changes of other users from being announced.",
        file=SCRIPTS,
        old="local done, failure = pcall(apply, feed, unread, change)",
        new="local done, failure = true, apply(feed, unread, change)",
        tests=(TRUST,),
    ),
    Mutant(
        name="entry-of-any-size",
        breaks="An entry of the index grows without bound in bytes.",
        file=SCRIPTS,
        old="while excess > 0 or bytes > most do",
        new="while excess > 0 do",
        tests=(TRUST,),
    ),
    Mutant(
        name="page-of-any-size",
        breaks="A page has any number of bytes.",
        file=PAGES,
        old="if bytes_so_far > PAGE_BYTES and fitting:",
        new="if False:",
        tests=(f"{UNIT}/test_pages.py",),
    ),
    Mutant(
        name="lease-not-voided",
        breaks="What was read before a change is loaded after it.",
        file=SCRIPTS,
        old="    redis.call('DEL', lease)\n",
        new="",
        tests=(f"{REDIS_INDEX}::test_what_was_read_before_an_announced_change_is_not_loaded",),
    ),
    Mutant(
        name="loaded-without-lease",
        breaks="Anybody may load the index, with whatever was read whenever.",
        file=SCRIPTS,
        old="if held ~= ARGV[1] then",
        new="if false then",
        tests=(f"{REDIS_INDEX}::test_only_the_holder_of_the_lease_may_load",),
    ),
    Mutant(
        name="half-an-entry-is-shown",
        breaks="An entry of which Redis evicted the notifications is shown as an empty page.",
        file=SCRIPTS,
        old="local whole = not complete or redis.call('ZCARD', KEYS[2]) == tonumber(feed[3])",
        new="local whole = true",
        tests=(f"{REDIS_INDEX}::test_an_entry_of_which_redis_evicted_a_part_is_missing",),
    ),
    Mutant(
        name="untold-is-forgotten",
        breaks="What Redis could not be told is never told.",
        file=ANNOUNCER,
        old="                self._unannounced[change.feed.user_id] = change.feed\n",
        new="                pass\n",
        tests=(
            SIMULATION,
            f"{INTEGRATION}/test_redis.py::TestRedisAnnouncer::test_what_could_not_be_told_is_told_later_as_a_position",
        ),
    ),
    Mutant(
        name="demoted-redis-is-kept",
        breaks="A Redis that has become a replica is asked again and again.",
        file=ANSWERS,
        old='"READONLY": True,',
        new='"READONLY": False,',
        tests=(f"{UNIT}/test_redis_answers.py",),
    ),
    Mutant(
        name="reconciler-sees-nothing",
        breaks="The reconciler takes every entry for right.",
        file=RECONCILING,
        old="if entry.feed != page.feed or entry.held != newest[: len(entry.held)]:",
        new="if False:",
        tests=(f"{UNIT}/test_reconciling.py",),
    ),
)

# --- live streams ------------------------------------------------------------------------------------------

STREAMS = (
    Mutant(
        name="frame-twice",
        breaks="A frame that comes again is passed on again.",
        file=FOLLOWING,
        old="            frame.prev == self._version\n",
        new="            frame.prev <= self._version\n",
        tests=(f"{UNIT}/test_following.py", f"{UNIT}/test_sessions.py", SIMULATION),
    ),
    Mutant(
        name="hole-never-filled",
        breaks="A frame that never comes leaves the stream standing still.",
        file=FOLLOWING,
        old='return self._catch_up("gap") if self.state is GAP else _NOTHING',
        new="return _NOTHING",
        tests=(f"{UNIT}/test_following.py",),
    ),
    Mutant(
        name="early-frames-outlive-a-reset",
        breaks="Frames that were kept for later are passed on after a reset, in another life of the feed.",
        file=FOLLOWING,
        old="        self._early = None\n        self._epoch, self._version = feed.epoch, feed.version\n",
        new="        self._epoch, self._version = feed.epoch, feed.version\n",
        tests=(f"{UNIT}/test_following.py",),
    ),
    Mutant(
        name="early-frames-without-bound",
        breaks="A stream with a hole keeps any number of frames in memory.",
        file=FOLLOWING,
        old="if len(self._frames) >= EARLY_FRAMES and frame.prev != version:",
        new="if False:",
        tests=(f"{UNIT}/test_following.py", f"{UNIT}/test_sessions.py"),
    ),
    Mutant(
        name="frames-dropped-while-behind",
        breaks="What is announced while a stream reads from the store is missed.",
        file=FOLLOWING,
        old="            self._keep(frame)\n            return _NOTHING\n",
        new="            return _NOTHING\n",
        tests=(f"{UNIT}/test_following.py",),
    ),
    Mutant(
        name="strangers-are-read",
        breaks="Frames are parsed before the client is known.",
        file=SOCKET_READING,
        old="self.read_paused = True\n        self._unparsed = early\n        self.transport.pause_reading()",
        new="self._unparsed = early",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="parsed-after-close",
        breaks="Whatever arrives after a close is parsed.",
        file=SOCKET_READING,
        old="        if self.close_sent:\n            self._drop(data)\n        elif",
        new="        if",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="endless-after-close",
        breaks="After a close everything is read that a peer sends.",
        file=SOCKET_READING,
        old="self._dropped > DROPPED_BYTES",
        new="False",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="control-frames-are-free",
        breaks="Pings and fragments count in no pace.",
        file=SOCKET_READING,
        old="if len(self.events) >= self.allowed and frame.opcode is not Opcode.CLOSE:",
        new="if len(self.events) >= self.allowed and frame.opcode is Opcode.TEXT:",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="all-parsed-at-once",
        breaks="All that was read in one callback is parsed in it.",
        file=SOCKET_READING,
        old="PIECE_BYTES = 4 * 1024",
        new="PIECE_BYTES = 1 << 30",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="two-origins",
        breaks="Of two origins in a handshake one is ignored.",
        file=HANDSHAKE,
        old='b"upgrade", b"origin", ',
        new='b"upgrade", ',
        tests=(f"{UNIT}/test_handshake.py",),
    ),
    Mutant(
        name="flood-behind-handshake",
        breaks="As much as was read with a handshake is kept.",
        file=HTTP_FRONT,
        old="if len(rest) > EARLY_BYTES:",
        new="if False:",
        tests=(
            f"{INTEGRATION}/test_entrance.py::test_a_flood_right_behind_a_handshake_is_answered_400_and_never_kept",
        ),
    ),
    Mutant(
        name="any-number-of-newcomers",
        breaks="One address may have any number of sockets that prove nothing.",
        file=NEWCOMERS,
        old="if len(self._of[address]) >= self._most_of_address:",
        new="if False:",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="any-number-of-addresses",
        breaks="Many addresses together may have any number of them.",
        file=NEWCOMERS,
        old="elif len(self._all) >= self._most:",
        new="elif False:",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="handshakes-start-at-once",
        breaks="All handshakes that arrived start in one turn of the event loop.",
        file=NEWCOMERS,
        old="AT_ONCE = 16",
        new="AT_ONCE = 1 << 30",
        tests=(f"{UNIT}/test_reading.py",),
    ),
    Mutant(
        name="driver-ends-the-process",
        breaks="What a driver raises in background work ends the process.",
        file=LIFESPAN,
        old="            if not _is_of_driver(error):\n                raise\n",
        new="            raise\n",
        tests=(f"{UNIT}/test_draining.py",),
    ),
    Mutant(
        name="defects-are-repeated",
        breaks="A defect in background work is repeated for ever.",
        file=LIFESPAN,
        old="            if not _is_of_driver(error):\n                raise\n",
        new="",
        tests=(f"{UNIT}/test_draining.py",),
    ),
    Mutant(
        name="lost-cancellation",
        breaks="A task that loses its cancellation holds up the shutdown.",
        file=LIFESPAN,
        old="    while not task.done():\n        task.cancel()",
        new="    if not task.done():\n        task.cancel()",
        tests=(f"{UNIT}/test_draining.py",),
    ),
    Mutant(
        name="read-before-subscribed",
        breaks="A stream reads its feed before its subscription stands, and misses what changes in between.",
        file=SUBSCRIPTIONS,
        old="            await confirmed\n",
        new="            confirmed.cancel()\n",
        tests=(f"{UNIT}/test_subscriptions.py", SUBSCRIBING),
    ),
    Mutant(
        name="late-subscription-forgotten",
        breaks="A stream that did not wait for its subscription never learns what it missed meanwhile.",
        file=LIVE_FRAMES,
        old="if self._subscriptions.confirmed(user):",
        new="if not self._subscriptions.confirmed(user) and user is None:",
        tests=(SUBSCRIBING,),
    ),
    Mutant(
        name="subscriptions-not-renewed",
        breaks="After Redis was away a process listens only to users whose streams opened since.",
        file=SUBSCRIPTIONS,
        old="        return list(self._held)",
        new="        return []",
        tests=(f"{UNIT}/test_subscriptions.py", SUBSCRIBING),
    ),
    Mutant(
        name="lost-carrier-ignored",
        breaks="Streams do not compare themselves with the store after the subscription was away.",
        file=HUB,
        old="follower.miss()",
        new="pass",
        tests=(f"{UNIT}/test_hub.py",),
    ),
    Mutant(
        name="asleep-through-a-revocation",
        breaks="A quiet stream goes on although its token was revoked.",
        file=SESSIONS,
        old="        if known != self._revocations:",
        new="        if False:",
        tests=(f"{UNIT}/test_quiet_sessions.py",),
    ),
    Mutant(
        name="asleep-while-stalled",
        breaks="A stream whose client reads nothing is noticed when its next ping is due.",
        file=SESSION,
        old="if self._liveness.sent or stalled:",
        new="if self._liveness.sent:",
        tests=(f"{UNIT}/test_quiet_sessions.py",),
    ),
    Mutant(
        name="quiet-streams-never-sleep",
        breaks="Every stream is looked at every second.",
        file=SESSIONS,
        old="        return list(due)",
        new="        return list(self._open)",
        tests=(f"{UNIT}/test_quiet_sessions.py",),
    ),
    Mutant(
        name="positions-not-compared",
        breaks="A stream that missed the last change does not find out by comparing.",
        file=SESSIONS,
        old="        session.compare(standing)\n",
        new="        pass\n",
        tests=(f"{UNIT}/test_sessions.py",),
    ),
    Mutant(
        name="loss-while-reading-forgotten",
        breaks="A stream that learns of lost frames while it reads from the store does not read again.",
        file=FOLLOWING,
        old="again, self._again = self._again, False",
        new="again, self._again = False, False",
        tests=(f"{UNIT}/test_following.py", f"{UNIT}/test_sessions.py"),
    ),
    Mutant(
        name="position-while-reading-forgotten",
        breaks="A stream that learns of a position while it reads from the store does not read up to it.",
        file=FOLLOWING,
        old="if self._early is None and self._heard > self._version:",
        new="if False:",
        tests=(f"{UNIT}/test_following.py", f"{UNIT}/test_sessions.py"),
    ),
    Mutant(
        name="resumed-from-before-the-horizon",
        breaks="A client whose changes were deleted meanwhile is not told to reload.",
        file=FOLLOWING,
        old="if position.version < standing.horizon:",
        new="if False:",
        tests=(f"{UNIT}/test_following.py", f"{UNIT}/test_sessions.py"),
    ),
    Mutant(
        name="catch-up-from-an-older-page",
        breaks="A later page of a catch-up may be older than the one before it, and lack what moved.",
        file=FOLLOWING,
        old="return (ReadPage(self._version, page.feed.cursor),)",
        new="return (ReadPage(self._version, Cursor(self._epoch, 0)),)",
        tests=(f"{UNIT}/test_following.py", f"{UNIT}/test_catching_up.py"),
    ),
    Mutant(
        name="slow-reader-is-kept",
        breaks="A client whose network takes nothing is never cut off.",
        file=SESSION,
        old="if stalled and now - stalled >= self._with.timing.send:",
        new="if False:",
        tests=(f"{UNIT}/test_live.py", f"{UNIT}/test_events.py"),
    ),
    Mutant(
        name="any-amount-waits",
        breaks="Any amount waits in memory for a client that does not read.",
        file=BOUNDS,
        old="if frames and (frames >= _FRAMES or size + more > _BYTES):",
        new="if False:",
        tests=(f"{UNIT}/test_connections.py",),
    ),
    Mutant(
        name="silent-client-is-kept",
        breaks="A client that answers no ping is kept for ever.",
        file=LIVENESS,
        old="return Due.CLOSE if now - self._pinged_at >= timing.pong else Due.NOTHING",
        new="return Due.NOTHING",
        tests=(f"{UNIT}/test_live.py",),
    ),
    Mutant(
        name="stream-outlives-its-token",
        breaks="A stream goes on when its token has expired.",
        file=SESSION,
        old="elif at >= claims.expires_at:",
        new="elif False:",
        tests=(f"{UNIT}/test_live.py", f"{UNIT}/test_events.py"),
    ),
    Mutant(
        name="drain-closes-nothing",
        breaks="A process that drains ends no stream.",
        file=SESSIONS,
        old="for session in sessions[closed:due]:",
        new="for session in sessions[:0]:",
        tests=(f"{UNIT}/test_draining.py", f"{UNIT}/test_sessions.py"),
    ),
    Mutant(
        name="draining-process-is-ready",
        breaks="A balancer sends new clients to a process that drains.",
        file=SESSIONS,
        old='            raise Unavailable("draining")\n',
        new="            return\n",
        tests=(f"{UNIT}/test_sessions.py",),
    ),
    Mutant(
        name="always-ready",
        breaks="Readiness answers 200 whatever is out of reach.",
        file=HEALTH,
        old="status_code=503 if down else 200",
        new="status_code=200",
        tests=(f"{UNIT}/test_http.py::test_readiness_tells_what_is_out_of_reach",),
    ),
    Mutant(
        name="client-takes-frames-twice",
        breaks="The Python client tells its application a change that it has told already.",
        file=CLIENT_EVENTS,
        old="epoch_of(cursor) != epoch_of(other) or version_of(cursor) > version_of(other)",
        new="epoch_of(cursor) != epoch_of(other) or version_of(cursor) >= version_of(other)",
        tests=(f"{UNIT}/test_client_stream.py", f"{UNIT}/test_client_inbox.py"),
    ),
    Mutant(
        name="read-but-unseen",
        breaks="The Python client takes what was read elsewhere for unseen.",
        file=CLIENT_INBOX,
        old='changes["seen_at"] = item.seen_at or marked',
        new='changes["seen_at"] = item.seen_at',
        tests=(f"{UNIT}/test_client_inbox.py::test_what_follows_from_a_mark",),
    ),
    Mutant(
        name="page-overtaken-by-events",
        breaks="The Python client adds a page although events that concern it were applied meanwhile.",
        file=CLIENT_LIVE,
        old="if cursor == self.next_cursor and not is_after(self.cursor, page.cursor):",
        new="if cursor == self.next_cursor:",
        tests=(f"{UNIT}/test_client_live.py",),
    ),
)

# --- what is kept of users ---------------------------------------------------------------------------------

PRIVACY = (
    Mutant(
        name="late-record-of-an-erased-user-is-kept",
        breaks="A record for an erased user becomes a dead letter, which keeps its text.",
        file=ARRIVALS,
        old="arrival for arrival in strange if arrival.user_id not in erased)",
        new="arrival for arrival in strange)",
        tests=(f"{INTEGRATION}/test_privacy.py",),
    ),
    Mutant(
        name="erasure-ends-early",
        breaks="An erasure is finished while notifications are left.",
        file="src/adapters/postgres/erasures.py",
        old="if user is None or await connection.fetchval(_ANY_LEFT, user):",
        new="if user is None:",
        tests=(f"{INTEGRATION}/test_privacy.py",),
    ),
    Mutant(
        name="erased-user-is-known",
        breaks="A process goes on accepting notifications for a user that another has erased.",
        file="src/adapters/postgres/users.py",
        old="self._seen.difference_update(erased)",
        new="pass",
        tests=(f"{INTEGRATION}/test_privacy.py",),
    ),
    Mutant(
        name="erased-user-is-created-by-what-waited",
        breaks="A record that waited for an erasure brings the user back, because it asked before it waited.",
        file="src/adapters/postgres/directory.py",
        old="erased = await erased_among(connection, self._engine, made)",
        new="erased = frozenset[UserId]()",
        tests=(
            f"{INTEGRATION}/test_users_in_time.py::test_who_is_being_erased_is_not_created_by_what_waited_for_it",
        ),
    ),
    Mutant(
        name="erased-user-is-put-back",
        breaks="PUT creates a user whose id was erased and may not be used again.",
        file="src/adapters/postgres/directory.py",
        old="                await take_id(connection, self._engine, user.id)\n",
        new="",
        tests=(f"{INTEGRATION}/test_users_in_time.py",),
    ),
    Mutant(
        name="keys-create-users-by-reading",
        breaks="A key with the scope read creates every user whose feed it asks for, mistyped ids included.",
        file="src/application/arriving.py",
        old="or not isinstance(caller, Claims)",
        new="",
        tests=(f"{UNIT}/test_users_in_time.py",),
    ),
    Mutant(
        name="unknown-users-are-created-unasked",
        breaks="Publishing for unknown users creates them although the operator did not set that.",
        file="src/entrypoints/container/parts/postgres.py",
        old="return missing_users if wanted else None",
        new="return missing_users",
        tests=(f"{UNIT}/test_users_in_time.py",),
    ),
    Mutant(
        name="a-limited-key-lists-everybody",
        breaks="A key of one tenant lists the users of all others.",
        file="src/application/users.py",
        old="    if own.startswith(prefix):\n        return own\n",
        new="    if own.startswith(prefix):\n        return prefix\n",
        tests=(f"{UNIT}/test_tenancy.py",),
    ),
    Mutant(
        name="export-of-many-moments",
        breaks="An export shows each page as it is when it is read.",
        file="src/adapters/postgres/engine.py",
        old='isolation="repeatable_read", readonly=True',
        new="readonly=True",
        tests=(f"{INTEGRATION}/test_privacy.py",),
    ),
    Mutant(
        name="erasing-stops-expiry",
        breaks="An expired notification of a user who is being erased ends the consumer.",
        file=DELIVERY,
        old="with suppress(UnknownUser):",
        new="with suppress():",
        tests=(f"{UNIT}/test_privacy.py",),
    ),
    Mutant(
        name="failed-log-ins-fill-memory",
        breaks="Whoever fails to log in under many names fills the memory of the process.",
        file="src/application/failed_log_ins.py",
        old="or len(self._counts) < self._remembered",
        new="or True",
        tests=(f"{UNIT}/test_privacy.py",),
    ),
    Mutant(
        name="any-password-is-current",
        breaks="Whoever has a token sets a password without knowing the current one.",
        file="src/application/passwords.py",
        old="if held is None or not matches:",
        new="if held is None:",
        tests=(f"{UNIT}/test_privacy.py",),
    ),
    Mutant(
        name="stream-of-an-erased-user-goes-on",
        breaks="A stream whose feed is gone goes on if its process missed the revocation.",
        file=SESSIONS,
        old="if session.user not in standings:",
        new="if False:",
        tests=(f"{UNIT}/test_sessions.py",),
    ),
    Mutant(
        name="revoked-token-not-recorded",
        breaks="Nobody can tell who revoked a single token.",
        file="src/application/revoking.py",
        old="partial(self.revoked_tokens.add, token))",
        new="lambda _: self.revoked_tokens.add(token))",
        tests=(f"{UNIT}/test_accounts.py", f"{UNIT}/test_http.py"),
    ),
    Mutant(
        name="log-in-outlives-its-password",
        breaks="Whoever logs in while the password is changed keeps a token for the old one.",
        file="src/application/accounts.py",
        old="at if revoked_at is None else max(at, revoked_at)",
        new="self.clock()",
        tests=(f"{UNIT}/test_privacy.py",),
    ),
    Mutant(
        name="wrong-passwords-not-counted",
        breaks="Whoever has a token guesses the password with it.",
        file="src/application/passwords.py",
        old="known = await self.attempts.begin(account, party)",
        new="known = True",
        tests=(f"{UNIT}/test_privacy.py", f"{UNIT}/test_limited.py"),
    ),
    Mutant(
        name="tenant-reads-the-trail",
        breaks="A key that is limited to a prefix reads what all others did.",
        file="src/entrypoints/http/audit.py",
        old="if request.auth.limited:",
        new="if False:",
        tests=(f"{UNIT}/test_privacy.py",),
    ),
)

# --- what stands before every route ---------------------------------------------------------------------

FRONT: Final = (
    Mutant(
        name="heads-without-a-limit",
        breaks="A head may have any number of fields.",
        file=HTTP,
        old="if len(headers) == HEAD_FIELDS:",
        new="if False:",
        tests=(f"{INTEGRATION}/test_entrance.py",),
    ),
    Mutant(
        name="a-drip-moves-the-deadline",
        breaks="A body of one byte now and then may take for ever.",
        file=HTTP,
        old="+ self._body_bytes / self.body_rate",
        new="+ self._body_bytes",
        tests=(f"{INTEGRATION}/test_entrance.py::test_a_body_that_drips_is_refused",),
    ),
    Mutant(
        name="the-newest-gives-way",
        breaks="When descriptors run out, whoever came first keeps everybody else out.",
        file=DESCRIPTORS,
        old="return connection.waiting_since or 0.0",
        new="return -(connection.waiting_since or 0.0)",
        tests=(f"{UNIT}/test_descriptors.py",),
    ),
    Mutant(
        name="any-host",
        breaks="Every Host is served, whatever BELLWIRE_ALLOWED_HOSTS lists.",
        file=HOSTS,
        old="if self._is_known(scope):",
        new="if scope:",
        tests=(f"{UNIT}/test_front.py",),
    ),
    Mutant(
        name="forms-are-json",
        breaks="A form that a page of another site submits is read as JSON.",
        file=JSON_REQUEST,
        old="and not _is_json(value):",
        new="and not value:",
        tests=(f"{UNIT}/test_front.py",),
    ),
    Mutant(
        name="metrics-for-all",
        breaks="Without a token, clients anywhere read the metrics.",
        file=GUARDS,
        old="elif not _is_local(connection):",
        new="elif not connection:",
        tests=(f"{UNIT}/test_front.py",),
    ),
    Mutant(
        name="fast-path-without-guards",
        breaks="Anybody publishes, and reads every feed.",
        file=FAST_PATH,
        old="for guard in self._guards:",
        new="for guard in ():",
        tests=(f"{UNIT}/test_matrix.py", f"{UNIT}/test_fast_path.py"),
    ),
    Mutant(
        name="fast-path-takes-any-body",
        breaks="One request fills the memory.",
        file="src/entrypoints/web/call.py",
        old="if limit is not None and len(body) > limit:",
        new="if False:",
        tests=(f"{UNIT}/test_fast_path.py",),
    ),
    Mutant(
        name="fast-path-ignores-origins",
        breaks="A page of an allowed origin cannot read what it asked for: the answer has no CORS headers.",
        file=FAST_PATH,
        old=' or (self._cors and b"origin" in fields_of(scope))',
        new="",
        tests=(f"{UNIT}/test_fast_path.py",),
    ),
    Mutant(
        name="fast-path-takes-the-last-limit",
        breaks="A repeated parameter is read in two ways.",
        file=FAST_PATH,
        old="if len(values) > 1:",
        new="if False:",
        tests=(f"{UNIT}/test_fast_path.py",),
    ),
    Mutant(
        name="a-series-for-each-method",
        breaks="Whoever invents methods fills the memory with time series.",
        file=MIDDLEWARE,
        old='method if method in _METHODS else "other"',
        new="method",
        tests=(f"{UNIT}/test_front.py",),
    ),
    Mutant(
        name="own-only-takes-everything-back",
        breaks="A key that may change only what it sent retracts what another key sent.",
        file="src/application/changing.py",
        old="sender = key.id if key.changes_own_only else None",
        new="sender = None",
        tests=(f"{UNIT}/test_changing.py",),
    ),
    Mutant(
        name="own-only-edits-everything",
        breaks="The store is not told that a key may change only what it sent.",
        file=QUEUE,
        old="if draft.own_only:",
        new="if False:",
        tests=(f"{KAFKA}::test_what_a_limited_key_sent_says_so",),
    ),
    Mutant(
        name="own-only-makes-free-keys",
        breaks="A key that may change only what it sent makes one that may change everything.",
        file="src/application/credentials.py",
        old="and (other.own_only or not self.own_only)",
        new="",
        tests=(f"{UNIT}/test_keys.py",),
    ),
    Mutant(
        name="images-in-the-clear",
        breaks="A page loads images that everybody on the way sees.",
        file="src/domain/text.py",
        old='IMAGE = re.compile(rf"(?:https{_HOST_OR_PATH}")',
        new='IMAGE = re.compile(rf"(?:https?{_HOST_OR_PATH}")',
        tests=(f"{UNIT}/test_rich.py",),
    ),
    Mutant(
        name="links-with-credentials",
        breaks="A link may say bank.example and lead to another host.",
        file="src/domain/text.py",
        old="://[^/?#@{",
        new="://[^/?#{",
        tests=(f"{UNIT}/test_notification.py",),
    ),
    Mutant(
        name="a-short-queue-at-the-door",
        breaks="In a storm the kernel drops the attempts of honest clients, who wait for seconds.",
        file="src/entrypoints/serving.py",
        old="BACKLOG = 65_535",
        new="BACKLOG = 128",
        tests=(f"{INTEGRATION}/test_attacks_ws.py::{THREE_THOUSAND}",),
    ),
    Mutant(
        name="everybody-tries-a-redis-that-was-away",
        breaks="All wait for a Redis that does not answer, and keep a slow one from coming back.",
        file="src/adapters/redis/server.py",
        old="if self._tried or self._now()",
        new="if self._now()",
        tests=(f"{UNIT}/test_redis_breaker.py",),
    ),
    Mutant(
        name="the-first-cursor-unchecked",
        breaks="Beside a Last-Event-ID anything is taken for a cursor.",
        file=HELLO,
        old="for cursor in asked if cursor]",
        new="for cursor in asked[:1] if cursor]",
        tests=(f"{UNIT}/test_events.py",),
    ),
)

PLANTED: Final = (
    *CONSUMER,
    *PRODUCERS,
    *CREDENTIALS,
    *VIEWS_AND_MARKS,
    *INDEX,
    *STREAMS,
    *PRIVACY,
    *FRONT,
    *limits.MUTANTS,
    *arrivals.MUTANTS,
    *addresses.MUTANTS,
    *redis_ways.MUTANTS,
)
