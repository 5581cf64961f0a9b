# syntax=docker/dockerfile:1
# What runs in a cluster: the official image of Airflow with exactly what requirements.txt names in place of what that
# image brings. Its own environment is made for Airflow's constraints and holds hundreds of distributions that no lock of
# ours names; so it is removed, and ours stands at its place, where the base's entrypoint and Airflow's chart look for it.
# How to build and run it: docs/image.md.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11

# The environment of the lock. The lock is complete, so nothing is resolved; `pip check` tells if it were not.
FROM ${AIRFLOW_IMAGE} AS locked
USER 50000
RUN base="$(python -c 'import sys; print(sys._base_executable)')" && "$base" -m venv --clear /home/airflow/.local
COPY requirements.txt /tmp/lock/
RUN --mount=type=cache,target=/tmp/.cache/pip,uid=50000,gid=0 \
    export HOME=/home/airflow PIP_CACHE_DIR=/tmp/.cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 && \
    pip install --quiet --no-deps --require-hashes -r /tmp/lock/requirements.txt && \
    pip check

# The library as a wheel, made with the lock's setuptools.
FROM locked AS wheel
COPY --chown=50000:0 pyproject.toml README.md LICENSE /tmp/source/
COPY --chown=50000:0 plugins /tmp/source/plugins
RUN HOME=/home/airflow pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir /tmp/wheel /tmp/source

# The list of what is installed. The tool that makes it has an environment of its own, and stays behind.
FROM locked AS tool
COPY requirements-dev.txt /tmp/lock/
RUN --mount=type=cache,target=/tmp/.cache/pip,uid=50000,gid=0 \
    export HOME=/home/airflow PIP_CACHE_DIR=/tmp/.cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 && \
    python -m venv /tmp/tool && \
    /tmp/tool/bin/pip install --quiet --no-compile --no-deps --require-hashes -r /tmp/lock/requirements-dev.txt

FROM tool AS sbom
COPY --from=wheel /tmp/wheel /tmp/wheel
RUN HOME=/home/airflow pip install --quiet --no-deps --no-index /tmp/wheel/*.whl && mkdir /tmp/sbom && \
    /tmp/tool/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
      --output-file /tmp/sbom/sbom.cdx.json /home/airflow/.local/bin/python

FROM ${AIRFLOW_IMAGE} AS runtime
# Git for bundles of pipelines, the client of PostgreSQL for backups: where the base has them, they are its own. A client
# dumps servers of its own version and older ones.
ARG POSTGRESQL_CLIENT=postgresql-client
USER root
RUN rm -rf /home/airflow/.local && \
    missing="$(command -v git >/dev/null || echo git) $(command -v pg_dump >/dev/null || echo "$POSTGRESQL_CLIENT")" && \
    if [ "$missing" != " " ]; then \
      apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing && \
      apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/ldconfig/aux-cache /var/log/*.log /var/log/apt; \
    fi && \
    install -d -o 50000 -g 0 -m 775 /opt/airflow/dags /opt/airflow/plugins /opt/airflow/logs /var/lib/tidemark
USER 50000
COPY --from=locked --chown=50000:0 /home/airflow/.local /home/airflow/.local

# What changes with every commit comes last.
COPY requirements.txt /opt/tidemark/requirements.txt
COPY expectations /opt/airflow/expectations
COPY plugins/tidemark_plugin.py plugins/.airflowignore /opt/airflow/plugins/
RUN --mount=type=bind,from=wheel,source=/tmp/wheel,target=/tmp/wheel \
    HOME=/home/airflow pip install --quiet --no-cache-dir --no-deps --no-index /tmp/wheel/*.whl
COPY --from=sbom /tmp/sbom/sbom.cdx.json /opt/tidemark/sbom.cdx.json

ENV AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE=tidemark.airflow.discovery.might_contain_dag \
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL=1 \
    AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT=60 \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    TIDEMARK_HOME=/var/lib/tidemark \
    TIDEMARK_DAGS=/opt/airflow/dags \
    TIDEMARK_LOCK=/opt/tidemark/requirements.txt \
    MPLCONFIGDIR=/tmp/matplotlib
ARG VERSION=unknown
ARG COMMIT=unknown
ARG IMAGE=unknown
ARG AIRFLOW_IMAGE
ENV TIDEMARK_COMMIT=${COMMIT} TIDEMARK_IMAGE=${IMAGE}
LABEL org.opencontainers.image.title="tidemark" \
      org.opencontainers.image.description="Airflow DAGs that remember what they computed" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.ref.name="${IMAGE}" \
      org.opencontainers.image.base.name="${AIRFLOW_IMAGE}"

# With the reference pipelines in it, for a trial and where there is no git server: --target with-dags.
FROM runtime AS with-dags
COPY dags /opt/airflow/dags

FROM runtime
