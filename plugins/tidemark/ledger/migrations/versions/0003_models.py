"""Models: what people decided about candidates."""

import sqlalchemy as sa
from alembic import op

from tidemark.ledger.schema import Identity, Instant

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new table."""
    op.create_table(
        "decision",
        sa.Column("id", Identity, autoincrement=True, nullable=False),
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("candidate_id", Identity, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("champion_id", Identity, nullable=True),
        sa.Column("partition_id", Identity, nullable=True),
        sa.Column("seq", Identity, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("void_at", Instant(), nullable=True),
        sa.Column("void_by", sa.Text(), nullable=True),
        sa.Column("void_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_decision_asset_id_asset")),
        sa.ForeignKeyConstraint(
            ["candidate_id"], ["materialization.id"], name=op.f("fk_decision_candidate_id_materialization")
        ),
        sa.ForeignKeyConstraint(
            ["champion_id"], ["materialization.id"], name=op.f("fk_decision_champion_id_materialization")
        ),
        sa.ForeignKeyConstraint(["partition_id"], ["partition.id"], name=op.f("fk_decision_partition_id_partition")),
        sa.ForeignKeyConstraint(["seq"], ["change.seq"], name=op.f("fk_decision_seq_change")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index("ix_decision_model", "decision", ["asset_id", "id"], unique=False)
