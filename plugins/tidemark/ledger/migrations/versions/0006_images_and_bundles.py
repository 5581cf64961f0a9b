"""Images and bundles: in which container image, and by which version of a DAG bundle, something was computed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new columns; of what was computed before, nothing is known."""
    op.add_column("code_version", sa.Column("image", sa.Text(), nullable=True))
    op.add_column("materialization", sa.Column("image", sa.Text(), nullable=True))
    op.add_column("materialization", sa.Column("bundle", sa.Text(), nullable=True))
