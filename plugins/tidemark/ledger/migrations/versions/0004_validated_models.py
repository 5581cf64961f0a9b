"""Models: what trials came to, how candidates were judged, and what the model registry knows of them."""

import sqlalchemy as sa
from alembic import op

from tidemark.ledger.schema import Digest, Identity, Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new tables."""
    op.create_table(
        "validation",
        sa.Column("id", Identity, autoincrement=True, nullable=False),
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("candidate_id", Identity, nullable=False),
        sa.Column("champion_id", Identity, nullable=True),
        sa.Column("digest", Digest, nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_validation_asset_id_asset")),
        sa.ForeignKeyConstraint(
            ["candidate_id"], ["materialization.id"], name=op.f("fk_validation_candidate_id_materialization")
        ),
        sa.ForeignKeyConstraint(
            ["champion_id"], ["materialization.id"], name=op.f("fk_validation_champion_id_materialization")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_validation")),
    )
    op.create_index("ix_validation_candidate", "validation", ["candidate_id", "id"], unique=False)
    op.create_table(
        "trial",
        sa.Column("key", Digest, nullable=False),
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_trial_asset_id_asset")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_trial")),
    )
    op.create_table(
        "registration",
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("data_version", Digest, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_registration_asset_id_asset")),
        sa.PrimaryKeyConstraint("asset_id", "data_version", name=op.f("pk_registration")),
    )
    op.create_table(
        "alias",
        sa.Column("asset_id", Identity, nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_alias_asset_id_asset")),
        sa.PrimaryKeyConstraint("asset_id", name=op.f("pk_alias")),
    )
