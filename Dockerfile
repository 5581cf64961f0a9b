# syntax=docker/dockerfile:1
# What runs in a cluster: the official image of Airflow with exactly what requirements.txt names in place of what that
# image brings. Its own environment is made for Airflow's constraints and holds hundreds of distributions that no lock of
# ours names; so it is emptied, and ours stands at its place, where the base's entrypoint and Airflow's chart look for it.
# How to build and run it: docs/image.md.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11

FROM ${AIRFLOW_IMAGE} AS locked
# Git for bundles of pipelines, PostgreSQL's client for backups: those of the base, where it has them. A client dumps
# servers of its own version and older ones; another is named by --build-arg POSTGRESQL_CLIENT=postgresql-client-17.
ARG POSTGRESQL_CLIENT=postgresql-client
USER root
RUN missing="$(command -v git >/dev/null || echo git) $(command -v pg_dump >/dev/null || echo "$POSTGRESQL_CLIENT")" && \
    if [ "$missing" != " " ]; then \
      apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing && \
      apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/ldconfig/aux-cache /var/log/apt /var/log/dpkg.log; \
    fi && \
    install -d -o 50000 -g 0 -m 775 /opt/airflow/dags /opt/airflow/plugins /opt/airflow/logs /var/lib/tidemark
USER 50000
COPY requirements.txt /opt/tidemark/requirements.txt
# The lock is complete, so nothing is resolved; `pip check` would tell.
RUN --mount=type=cache,target=/tmp/.cache/pip,uid=50000,gid=0 \
    export HOME=/home/airflow PIP_CACHE_DIR=/tmp/.cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 && \
    "$(python -c 'import sys; print(sys._base_executable)')" -m venv --clear /home/airflow/.local && \
    pip install --quiet --no-deps --require-hashes -r /opt/tidemark/requirements.txt && \
    pip check

# The tool that lists what is installed; it stays behind.
FROM ${AIRFLOW_IMAGE} AS tool
USER 50000
COPY requirements-sbom.txt /tmp/lock/
RUN --mount=type=cache,target=/tmp/.cache/pip,uid=50000,gid=0 \
    export HOME=/home/airflow PIP_CACHE_DIR=/tmp/.cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 && \
    "$(python -c 'import sys; print(sys._base_executable)')" -m venv /tmp/tool && \
    /tmp/tool/bin/pip install --quiet --no-compile --no-deps --require-hashes -r /tmp/lock/requirements-sbom.txt

# The library, made with the lock's setuptools and laid out as it will stand.
FROM locked AS library
COPY --chown=50000:0 pyproject.toml README.md LICENSE /tmp/source/
COPY --chown=50000:0 plugins /tmp/source/plugins
RUN export HOME=/home/airflow PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 && \
    pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir /tmp/wheel /tmp/source && \
    pip install --quiet --no-deps --no-index --find-links /tmp/wheel --root /tmp/tree --no-warn-script-location \
      tidemark

# What changes with a commit comes last, and is small.
FROM locked AS complete
# Where airflow.cfg is missing, Airflow writes one, with keys of its own making; on a read-only root that ends it.
RUN touch /opt/airflow/airflow.cfg
COPY expectations /opt/airflow/expectations
COPY plugins/tidemark_plugin.py plugins/.airflowignore /opt/airflow/plugins/
COPY --from=library --chown=50000:0 /tmp/tree/home/airflow/.local /home/airflow/.local

FROM complete AS sbom
COPY --from=tool /tmp/tool /tmp/tool
RUN HOME=/home/airflow /tmp/tool/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
      --output-file /tmp/sbom.cdx.json /home/airflow/.local/bin/python

FROM complete AS runtime
COPY --from=sbom /tmp/sbom.cdx.json /opt/tidemark/sbom.cdx.json
# Airflow's settings are those of docs/administrator.md. Charts are drawn with a cache of fonts, which must be writable.
ENV AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE=tidemark.airflow.discovery.might_contain_dag \
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL=1 \
    AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT=120 \
    AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT=60 \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    TIDEMARK_HOME=/var/lib/tidemark \
    TIDEMARK_DAGS=/opt/airflow/dags \
    TIDEMARK_LOCK=/opt/tidemark/requirements.txt \
    MPLCONFIGDIR=/tmp/matplotlib
ARG VERSION=
ARG COMMIT=
ARG IMAGE=
ARG CREATED=
ARG AIRFLOW_IMAGE
# Some builders take what follows from their cache, whatever the arguments are; of a RUN they know them.
RUN : "${VERSION} ${COMMIT} ${IMAGE} ${CREATED} ${AIRFLOW_IMAGE}"
ENV TIDEMARK_COMMIT=${COMMIT} TIDEMARK_IMAGE=${IMAGE}
# Those that are empty are the base's, and would be wrong here.
LABEL org.opencontainers.image.title="tidemark" \
      org.opencontainers.image.description="Airflow DAGs that remember what they computed" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.ref.name="${IMAGE}" \
      org.opencontainers.image.base.name="${AIRFLOW_IMAGE}" \
      org.opencontainers.image.authors="" \
      org.opencontainers.image.documentation="" \
      org.opencontainers.image.source="" \
      org.opencontainers.image.url="" \
      org.opencontainers.image.vendor=""

# With the reference pipelines in it, for a trial and where there is no git server: --target with-dags.
FROM runtime AS with-dags
COPY dags /opt/airflow/dags

FROM runtime
