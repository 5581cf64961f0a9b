"""The ledger's tables: the memory of the system, and its only source of truth.

Invariants that the tables themselves enforce:

* at most one head is current for an environment's asset partition (``head_current``);
* an observation, a materialization and a head row are never changed after they were written, but for ``to_seq``,
  which closes a head row once, and ``materialization.nondeterministic``;
* every change of heads has a number (``change.seq``), and numbers rise in the order in which changes became visible.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware moment, kept in UTC; SQLite has no time zones of its own."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Turn an aware moment into what the database keeps."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Turn what the database keeps into an aware moment."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Digest = sa.LargeBinary(32)
Json: sa.types.TypeEngine[Any] = sa.JSON()


def _id() -> "sa.Column[int]":
    return sa.Column("id", Identity, primary_key=True, autoincrement=True)


def _ref(name: str, target: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, Identity, sa.ForeignKey(f"{target}.id"), nullable=nullable)


asset = sa.Table(
    "asset",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # source or asset
    sa.Column("scheme", sa.Text, nullable=False),
    sa.Column("static_keys", Json, nullable=False),
    sa.Column("definition", Json, nullable=False),  # owner, gate, inputs, calendar, closes_after, ...: as last planned
    sa.Column("nondeterministic", sa.Boolean, nullable=False, default=False),
    sa.Column("registered_at", Instant, nullable=False),
)

scheme = sa.Table(
    "scheme",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
)

partition = sa.Table(
    "partition",
    metadata,
    # Computed from scheme and ordinal (registry.partition_id), so that a range of ids is a range of time.
    sa.Column("id", Identity, primary_key=True, autoincrement=False),
    sa.Column("scheme", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("starts_at", Instant),
    sa.Column("ends_at", Instant),
    sa.UniqueConstraint("scheme", "key"),
)

code_version = sa.Table(
    "code_version",
    metadata,
    _id(),
    sa.Column("fingerprint", Digest, nullable=False, unique=True),
    sa.Column("components", Json, nullable=False),  # [[label, file, line, digest hex]]
    sa.Column("distributions", Json, nullable=False),  # [[name, version]]
    sa.Column("image", sa.Text),  # the declared image, which stands for the distributions; null: none was declared
    sa.Column("python", sa.Text, nullable=False),
    sa.Column("git_commit", sa.Text),
    sa.Column("git_dirty", sa.Boolean),
    sa.Column("first_seen_at", Instant, nullable=False),
)

materialization = sa.Table(
    "materialization",
    metadata,
    _id(),
    _ref("asset_id", "asset"),
    _ref("partition_id", "partition"),
    sa.Column("status", sa.Text, nullable=False),  # delivered, computed or failed
    sa.Column("action_key", Digest, nullable=False),
    _ref("code_version_id", "code_version", nullable=True),  # a delivery has none
    sa.Column("parameters", Json, nullable=False),
    sa.Column("data_version", Digest),  # a failure has none
    sa.Column("schema_digest", Digest),
    sa.Column("blob", sa.Text),
    sa.Column("format", sa.Text),
    sa.Column("declared", Json),  # {column: type} that a delivery was read with; null: none was declared
    sa.Column("rows", sa.BigInteger),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("seconds", sa.Float),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("suite_digest", Digest),  # of the suite that a failure happened under
    sa.Column("image", sa.Text),  # the container image that it was made in; null: in none that is known
    sa.Column("bundle", sa.Text),  # the DAG bundle, with its version where it has one: pricing@<commit>
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("ix_materialization_partition", "asset_id", "partition_id", "action_key"),
    sa.Index("ix_materialization_data_version", "data_version"),
    sa.Index("ix_materialization_code_version", "code_version_id"),
)

materialization_input = sa.Table(
    "materialization_input",
    metadata,
    sa.Column("materialization_id", Identity, sa.ForeignKey("materialization.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("parameter", sa.Text, nullable=False),
    _ref("asset_id", "asset"),
    sa.Column("mapping", sa.Text, nullable=False),
    sa.Column("members_digest", Digest, nullable=False),
    sa.Column(
        "members", Json, nullable=False
    ),  # [[partition key, data version hex or null, materialization id or null]]
)

gate_result = sa.Table(
    "gate_result",
    metadata,
    sa.Column("suite_digest", Digest, primary_key=True),
    sa.Column("data_version", Digest, primary_key=True),
    sa.Column("suite", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("result", Json, nullable=False),
    sa.Column("checked_at", Instant, nullable=False),
)

change = sa.Table(
    "change",
    metadata,
    sa.Column("seq", Identity, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)

head_log = sa.Table(
    "head_log",
    metadata,
    _id(),
    sa.Column("environment", sa.Text, nullable=False),
    _ref("asset_id", "asset"),
    _ref("partition_id", "partition"),
    _ref("materialization_id", "materialization", nullable=True),  # null: nothing is live any more
    sa.Column("missing", sa.JSON(none_as_null=True)),  # [[asset, partition key]]; null: final
    # A branch's marks on what it takes from prod: they count as long as that is live there.
    sa.Column("follows", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("from_seq", Identity, sa.ForeignKey("change.seq"), nullable=False),
    sa.Column("to_seq", Identity, sa.ForeignKey("change.seq")),
    sa.Index(
        "head_current",
        "environment",
        "asset_id",
        "partition_id",
        unique=True,
        sqlite_where=sa.text("to_seq IS NULL"),
        postgresql_where=sa.text("to_seq IS NULL"),
    ),
    sa.Index("ix_head_log_history", "asset_id", "partition_id", "from_seq"),
    sa.Index("ix_head_log_change", "from_seq"),
)

# What a change that moves no head is about: a hold, a declaration, a delivery that was rejected.
touch = sa.Table(
    "touch",
    metadata,
    sa.Column("seq", Identity, sa.ForeignKey("change.seq"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("environment", sa.Text),  # null: all of them
    _ref("asset_id", "asset"),
    _ref("partition_id", "partition", nullable=True),  # null: the whole asset
)

# What a pipeline's newest plan, and the workers since, know of partitions that a final head does not say all about.
gap = sa.Table(
    "gap",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("pipeline", sa.Text, primary_key=True),
    sa.Column("asset_id", Identity, sa.ForeignKey("asset.id"), primary_key=True),
    sa.Column("partition_id", Identity, sa.ForeignKey("partition.id"), primary_key=True),
    sa.Column("missing", sa.JSON(none_as_null=True)),  # [[asset, partition key]]; null: nothing is
    sa.Column("undue", Instant),  # when what it waits for is due
    sa.Column("failed", sa.Boolean, nullable=False),
    sa.Column("again", sa.Boolean, nullable=False),  # the next plan judges it again, whatever has changed
    sa.Index(
        "ix_gap_again",
        "environment",
        "pipeline",
        "asset_id",
        sqlite_where=sa.text("again"),
        postgresql_where=sa.text("again"),
    ),
    sa.Index("ix_gap_undue", "environment", "pipeline", "undue"),
    sqlite_with_rowid=False,
)

observation = sa.Table(
    "observation",
    metadata,
    _id(),
    sa.Column("environment", sa.Text, nullable=False),  # whose definitions and suite have decided
    _ref("asset_id", "asset"),
    _ref("partition_id", "partition"),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),  # accepted, rejected or withdrawn
    sa.Column("token", sa.Text),
    sa.Column("settled", sa.Boolean, nullable=False),  # false: equal tokens do not yet mean equal content
    sa.Column("declaration", Digest, nullable=False),  # of what decides how a file is read: schema and file name
    sa.Column("data_version", Digest),
    sa.Column("suite_digest", Digest),
    _ref("materialization_id", "materialization", nullable=True),
    sa.Column("problem", sa.Text),
    sa.Index("ix_observation_partition", "environment", "asset_id", "partition_id", "id"),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("asset_id", Identity, sa.ForeignKey("asset.id"), primary_key=True),
    sa.Column("partition_id", Identity, sa.ForeignKey("partition.id"), primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text),  # null: free; the row stays, so that tokens only rise
    sa.Column("action_key", Digest),  # what the holder took it for
    sa.Column("deaths", sa.Integer, nullable=False, default=0),
    sa.Column("expires_at", Instant),
)

hold = sa.Table(
    "hold",
    metadata,
    _id(),
    sa.Column("environment", sa.Text, nullable=False),
    _ref("asset_id", "asset"),
    _ref("partition_id", "partition", nullable=True),  # null: the whole asset
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("held_at", Instant, nullable=False),
    sa.Column("released_at", Instant),
)

# The files of a source as they were last seen, where each stands for what the newest observation says.
listing = sa.Table(
    "listing",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("asset_id", Identity, sa.ForeignKey("asset.id"), primary_key=True),
    sa.Column("basis", Digest, nullable=False),  # of the declaration and the suite that it was looked at with
    sa.Column("digest", Digest, nullable=False),  # of the files, which are read only where it is another
    sa.Column("files", sa.LargeBinary, nullable=False),
)

declaration = sa.Table(
    "declaration",
    metadata,
    _id(),
    _ref("asset_id", "asset"),
    _ref("partition_id", "partition"),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("declared_at", Instant, nullable=False),
    sa.Column("withdrawn_at", Instant),
    sa.UniqueConstraint("asset_id", "partition_id", "declared_at"),
)

# What people decided about the results of models; heads of a model's champions follow from it.
decision = sa.Table(
    "decision",
    metadata,
    _id(),
    _ref("asset_id", "asset"),  # the model
    _ref("candidate_id", "materialization"),
    sa.Column("outcome", sa.Text, nullable=False),  # promoted or rejected
    _ref("champion_id", "materialization", nullable=True),  # what readers read; null: rejected
    _ref("partition_id", "partition", nullable=True),  # of the champions, from which it is in force
    sa.Column("seq", Identity, sa.ForeignKey("change.seq"), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("void_at", Instant),  # when the promotion was rolled back
    sa.Column("void_by", sa.Text),
    sa.Column("void_why", sa.Text),
    sa.Index("ix_decision_model", "asset_id", "id"),
)

validation = sa.Table(
    "validation",
    metadata,
    _id(),
    _ref("asset_id", "asset"),  # the model
    _ref("candidate_id", "materialization"),
    _ref("champion_id", "materialization", nullable=True),  # against which; null: there was none
    sa.Column("digest", Digest, nullable=False),  # of how it was judged
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("report", Json, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Index("ix_validation_candidate", "candidate_id", "id"),
)

trial = sa.Table(
    "trial",
    metadata,
    sa.Column("key", Digest, primary_key=True),  # over all that it follows from
    _ref("asset_id", "asset"),
    sa.Column("parameters", Json, nullable=False),
    sa.Column("value", sa.Float, nullable=False),  # less is better
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
)

registration = sa.Table(
    "registration",
    metadata,
    _ref("asset_id", "asset"),
    sa.Column("data_version", Digest, nullable=False),
    sa.Column("version", sa.Text, nullable=False),  # the number that the registry gave it
    sa.Column("run_id", sa.Text, nullable=False),  # of the registry
    sa.Column("at", Instant, nullable=False),
    sa.PrimaryKeyConstraint("asset_id", "data_version"),
)

alias = sa.Table(
    "alias",
    metadata,
    sa.Column("asset_id", Identity, sa.ForeignKey("asset.id"), primary_key=True),
    sa.Column("version", sa.Text),  # that the registry was told last is champion; null: that there is none
    sa.Column("at", Instant, nullable=False),
)

plan = sa.Table(
    "plan",
    metadata,
    _id(),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("as_of", Instant, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("seq", Identity, nullable=False),  # the newest change that the plan has read
    sa.Column("settled", Identity),  # worked off; up to here heads and gaps say what readers see
    sa.Column("wakes_at", Instant),  # when the clock alone changes something
    sa.Column("definitions", Digest, nullable=False),
    sa.Column("context", Json, nullable=False),  # from, to, force; deliveries rejected; what lacks a head or failed
    sa.Column("seconds", sa.Float),  # that looking and deciding took
    sa.Index("ix_plan_pipeline", "environment", "pipeline", "id"),
    sa.Index("ix_plan_as_of", "environment", "as_of"),
)

plan_item = sa.Table(
    "plan_item",
    metadata,
    sa.Column("plan_id", Identity, sa.ForeignKey("plan.id"), primary_key=True),
    sa.Column("asset_id", Identity, sa.ForeignKey("asset.id"), primary_key=True),
    sa.Column("partition_id", Identity, sa.ForeignKey("partition.id"), primary_key=True),
    sa.Column("lane", sa.Integer, nullable=False),
    sa.Column("certainty", sa.Text, nullable=False),  # will or may
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("forced", sa.Boolean, nullable=False),
    sa.Column("outcome", sa.Text),  # null: never reached
    sa.Column("detail", sa.Text),
)

outbox = sa.Table(
    "outbox",
    metadata,
    _id(),
    _ref("asset_id", "asset"),
    _ref("partition_id", "partition"),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # final or provisional
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("data_version", Digest, nullable=False),
    sa.Column("seq", Identity, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Index("ix_outbox_unsent", "asset_id", "sent_at"),
)

audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("seq", Identity, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("act", sa.Text, nullable=False),
    sa.Column("detail", Json, nullable=False),
    sa.Column("digest", Digest, nullable=False),  # over the previous entry's digest and this entry
)

# One open problem with its alerts.
incident = sa.Table(
    "incident",
    metadata,
    _id(),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),  # empty: of the deployment as a whole
    sa.Column("asset", sa.Text, nullable=False),  # empty: of the pipeline as a whole
    sa.Column("cause", sa.Text, nullable=False),  # the cause class
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("detail", Json, nullable=False),  # partitions, why, rows, what is served instead, reach, log
    sa.Column("happened", sa.Integer, nullable=False),  # how often it has happened
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("acknowledged_at", Instant),
    sa.Column("resolved_at", Instant),
    # One cause is one incident for as long as it is open.
    sa.Index(
        "incident_open",
        "environment",
        "pipeline",
        "asset",
        "cause",
        unique=True,
        sqlite_where=sa.text("resolved_at IS NULL"),
        postgresql_where=sa.text("resolved_at IS NULL"),
    ),
)

# What became of an incident, and by whom.
incident_event = sa.Table(
    "incident_event",
    metadata,
    _id(),
    _ref("incident_id", "incident"),
    sa.Column("at", Instant, nullable=False),
    sa.Column("what", sa.Text, nullable=False),  # opened, updated, resolved, or what people do
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
    sa.Index("ix_incident_event_incident", "incident_id", "id"),
)

# What keeps incidents quiet for a while; an empty text matches all.
silence = sa.Table(
    "silence",
    metadata,
    _id(),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("begins_at", Instant, nullable=False),
    sa.Column("ends_at", Instant, nullable=False),
    sa.Column("lifted_at", Instant),
)

# What people must be told; written in one transaction with what it tells of.
notice = sa.Table(
    "notice",
    metadata,
    _id(),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # opened, updated, resolved; or information
    sa.Column("topic", sa.Text, nullable=False),  # the cause class of an incident; or what the information is about
    _ref("incident_id", "incident", nullable=True),
    sa.Column("unique_key", sa.Text, unique=True),  # what is told once only; null: may be told again
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("payload", Json, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("routed_at", Instant),  # when it was decided who is told
    sa.Index(
        "ix_notice_unrouted",
        "id",
        sqlite_where=sa.text("routed_at IS NULL"),
        postgresql_where=sa.text("routed_at IS NULL"),
    ),
)

delivery = sa.Table(
    "delivery",
    metadata,
    _id(),
    _ref("notice_id", "notice"),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("done_at", Instant),
    sa.Column("outcome", sa.Text),  # sent, dropped, or fell back; null: still to be sent; pending until done_at
    sa.Column("problem", sa.Text),  # what the newest failed attempt came up with
    sa.UniqueConstraint("notice_id", "channel"),
    sa.Index(
        "ix_delivery_pending",
        "next_at",
        sqlite_where=sa.text("done_at IS NULL"),
        postgresql_where=sa.text("done_at IS NULL"),
    ),
)

# When something that should show a sign of life again and again last did.
heartbeat = sa.Table(
    "heartbeat",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("detail", Json, nullable=False),
)
