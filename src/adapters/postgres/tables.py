"""The tables. Alembic's migrations create them; a test compares the two."""

from sqlalchemy import (
    TIMESTAMP,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Interval,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from adapters.postgres.rows import where
from domain.states import RULES, UNREAD, VISIBLE, Condition, Mark

# Constraints have names so that errors.py can recognise them and migrations can drop them.
metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, unique=True),
    Column("password_hash", Text),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    Column("disabled_at", TIMESTAMP(timezone=True)),
    # Set by every change to which tokens are valid: API processes use it to fetch recent changes.
    Column("tokens_revoked_at", TIMESTAMP(timezone=True)),
)
REVOKED = text("tokens_revoked_at IS NOT NULL")
# For prefixes of ids, whatever the collation.
Index("users_prefix_idx", users.c.id, postgresql_ops={"id": "text_pattern_ops"})
Index("users_tokens_revoked_idx", users.c.tokens_revoked_at, users.c.id, postgresql_where=REVOKED)

# Updated with every change of a feed: free space on the page, and no index on changing columns, keep that
# cheap (HOT).
feeds = Table(
    "feeds",
    metadata,
    Column("user_id", Text, ForeignKey("users.id"), primary_key=True),
    Column("epoch", Text, nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("unread_count", BigInteger, nullable=False, server_default=text("0")),
    # Notifications that last changed up to this version may have been deleted.
    Column("horizon", BigInteger, nullable=False, server_default=text("0")),
    Column("unseen_count", BigInteger, nullable=False, server_default=text("0")),
    # {category: unread count}, without zeros.
    Column("unread_in", JSONB, nullable=False, server_default=text("'{}'")),
    # Every unseen notification last changed after this version.
    Column("seen_version", BigInteger, nullable=False, server_default=text("0")),
    # Categories that the user chose against, and for.
    Column("muted", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("wanted", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("preferences_version", BigInteger, nullable=False, server_default=text("0")),
    # When a notification was withheld last.
    Column("withheld_at", TIMESTAMP(timezone=True)),
    postgresql_with={"fillfactor": "50"},
)

# Partitioned by month of the UUIDv7 id. Each partition has a unique index on (user_id, version), which
# partitions.py makes with it: PostgreSQL has no unique index across partitions without the partition key, and
# across months the lock on the feed's row keeps versions unique. No foreign key to feeds: every insert holds
# the lock of its feed's row, and a check for each row would cost as much as the insert.
notifications = Table(
    "notifications",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
    Column("title", Text),
    Column("message", Text, nullable=False),
    # JSON as it was sent, which no other PostgreSQL type preserves.
    Column("metadata", Text, nullable=False),
    Column("action_url", Text),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    Column("seen_at", TIMESTAMP(timezone=True)),
    Column("read_at", TIMESTAMP(timezone=True)),
    Column("archived_at", TIMESTAMP(timezone=True)),
    Column("retracted_at", TIMESTAMP(timezone=True)),
    Column("expires_at", TIMESTAMP(timezone=True)),
    # The API key that sent it. NULL if another program wrote the record.
    Column("key_id", Text),
    Column("category", Text, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("edited_at", TIMESTAMP(timezone=True)),
    Column("acted_at", TIMESTAMP(timezone=True)),
    Column("action", Text),
    Column("snoozed_until", TIMESTAMP(timezone=True)),
    Column("woken_at", TIMESTAMP(timezone=True)),
    Column("collapse_key", Text),
    # JSON: domain.rich.Rich and domain.group.Group. NULL stands for the plain ones.
    Column("rich", Text),
    Column("grouped", Text),
    PrimaryKeyConstraint("user_id", "id"),
    postgresql_partition_by="RANGE (id)",
)
Index(
    "notifications_unread_idx",
    notifications.c.user_id,
    notifications.c.id,
    postgresql_where=text(where(UNREAD, "notifications")),
)
Index(
    "notifications_expiring_idx",
    notifications.c.expires_at,
    postgresql_where=text(where(RULES[Mark.RETRACTED].waiting, "notifications")),
)

# Where a notification with this key finds the one to collapse with.
Index(
    "notifications_collapse_idx",
    notifications.c.user_id,
    notifications.c.collapse_key,
    notifications.c.id,
    postgresql_where=text(
        "collapse_key IS NOT NULL AND " + where(VISIBLE & Condition(lacks=("archived_at",)), "notifications")
    ),
)

categories = Table(
    "categories",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text),
    Column("description", Text),
    Column("mandatory", Boolean, nullable=False, server_default=text("false")),
    Column("default_on", Boolean, nullable=False, server_default=text("true")),
    Column("expires_after", Interval),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False, server_default=text("now()")),
)

# What was accepted and is not shown: each accepted notification is here, in a feed, or a dead letter.
withheld = Table(
    "withheld",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("event", Text),
    Column("category", Text),
    # Of what had expired: a higher one may bring it back.
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("at", TIMESTAMP(timezone=True), nullable=False, index=True),
    PrimaryKeyConstraint("user_id", "id"),
)

# What is to be done to a notification at a time.
alarms = Table(
    "alarms",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("due_at", TIMESTAMP(timezone=True), nullable=False, index=True),
    Column("payload", LargeBinary),
    PrimaryKeyConstraint("user_id", "id", "kind"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    Column("expires_at", TIMESTAMP(timezone=True)),
    Column("revoked_at", TIMESTAMP(timezone=True)),
    Column("last_used_at", TIMESTAMP(timezone=True)),
    # Ids of users, and names of events, that the key is limited to begin with these.
    Column("user_prefix", Text),
    Column("event_prefix", Text),
    # Whether it may change only notifications that it sent itself.
    Column("own_only", Boolean, nullable=False, server_default=text("false")),
    # The key that a rotation made.
    Column("replaced_by", Text),
    # Set by every change: API processes use it to fetch recent changes.
    Column("changed_at", TIMESTAMP(timezone=True), index=True),
)

# Only ever inserted into. The ids are UUIDv7, so that they are in the order of time.
audit = Table(
    "audit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("at", TIMESTAMP(timezone=True), nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor", Text),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("detail", JSONB, nullable=False),
    Column("address", Text),
    Column("request_id", Text),
)

# Single tokens that were revoked before they expired, by their `jti`.
revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("revoked_at", TIMESTAMP(timezone=True), nullable=False, index=True),
    Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
)

# A keyed hash of each erased id, so that a late record does not bring the user back.
erasures = Table(
    "erasures",
    metadata,
    Column("id", Uuid, primary_key=True),
    # NULL once the id is in use again.
    Column("user_hash", LargeBinary, unique=True),
    # While the erasure is running.
    Column("user_id", Text),
    Column("requested_at", TIMESTAMP(timezone=True), nullable=False),
    # Rows, by kind.
    Column("deleted", JSONB, nullable=False),
    Column("finished_at", TIMESTAMP(timezone=True)),
    # Until when records in Kafka may still hold the user's texts.
    Column("kafka_until", TIMESTAMP(timezone=True)),
    # Whether the id may be used again.
    Column("reusable", Boolean, nullable=False),
)
Index(
    "erasures_unfinished_idx",
    erasures.c.requested_at,
    postgresql_where=text("finished_at IS NULL"),
)
