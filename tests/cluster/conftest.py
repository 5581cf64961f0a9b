"""A real cluster, and on it Tidemark as `docs/install.md` says: its commands are played, then the tests look.

Outside the cluster, on 127.0.0.1 of this machine, run what an installation has of others: PostgreSQL, S3, and the git
server to which scientists push. Airflow itself is the stand-in chart's beside this file, with the same image, for the
official chart cannot be downloaded everywhere.

Variables say what there is: `KUBECONFIG` names the cluster, `TIDEMARK_TEST_HOST` the address under which its pods reach
services of this machine, `TIDEMARK_TEST_CLUSTER_LOAD` the command that brings a local image to its nodes.
"""
