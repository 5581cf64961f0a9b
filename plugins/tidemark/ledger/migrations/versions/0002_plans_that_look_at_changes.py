"""Plans that look only at what changed: computed partition ids, gaps, what changes are about, listings."""

import sqlalchemy as sa
from alembic import op

from tidemark.errors import Refused
from tidemark.ledger.schema import Identity, Instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new tables and columns.

    Raises:
        Refused: there are partitions already, whose ids were given out one after the other.

    """
    if op.get_bind().execute(sa.text("SELECT 1 FROM partition LIMIT 1")).first():
        raise Refused(
            "this ledger was made before the first release and cannot be brought forward: keep it, and start with a "
            "new one (TIDEMARK_LEDGER_URL): what is in the landing zone is observed and computed again"
        )
    op.create_table(
        "scheme",
        sa.Column("id", Identity, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheme")),
        sa.UniqueConstraint("name", name=op.f("uq_scheme_name")),
    )
    op.create_table(
        "touch",
        sa.Column("seq", Identity, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("partition_id", Identity, nullable=True),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_touch_asset_id_asset")),
        sa.ForeignKeyConstraint(["partition_id"], ["partition.id"], name=op.f("fk_touch_partition_id_partition")),
        sa.ForeignKeyConstraint(["seq"], ["change.seq"], name=op.f("fk_touch_seq_change")),
        sa.PrimaryKeyConstraint("seq", "position", name=op.f("pk_touch")),
    )
    op.create_table(
        "gap",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("partition_id", Identity, nullable=False),
        sa.Column("missing", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("undue", Instant(), nullable=True),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("again", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_gap_asset_id_asset")),
        sa.ForeignKeyConstraint(["partition_id"], ["partition.id"], name=op.f("fk_gap_partition_id_partition")),
        sa.PrimaryKeyConstraint("environment", "pipeline", "asset_id", "partition_id", name=op.f("pk_gap")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_gap_again",
        "gap",
        ["environment", "pipeline", "asset_id"],
        unique=False,
        sqlite_where=sa.text("again"),
        postgresql_where=sa.text("again"),
    )
    op.create_index("ix_gap_undue", "gap", ["environment", "pipeline", "undue"], unique=False)
    op.create_table(
        "listing",
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("basis", sa.LargeBinary(length=32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("files", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_listing_asset_id_asset")),
        sa.PrimaryKeyConstraint("environment", "asset_id", name=op.f("pk_listing")),
    )
    op.add_column("plan", sa.Column("settled", Identity, nullable=True))
    op.add_column("plan", sa.Column("wakes_at", Instant(), nullable=True))
    op.create_index("ix_plan_as_of", "plan", ["environment", "as_of"], unique=False)
