# syntax=docker/dockerfile:1
# The hosted demo: Streamlit behind nginx, one process tree, no root. docs/deployment.md says how to run it.

FROM python:3.11-slim AS packages
COPY deploy/requirements.lock /tmp/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --no-deps -r /tmp/requirements.lock \
 && /venv/bin/python -m compileall -q /venv/lib

FROM python:3.11-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends nginx-light \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin lunglens \
 && install -d -o 1000 -g 1000 /data
COPY --from=packages /venv /venv
COPY . /app
RUN /venv/bin/python -m compileall -q /app/core /app/dashboard /app/market

ENV PATH=/venv/bin:$PATH \
    PORT=7860 \
    HOME=/tmp \
    LUNGLENS_DEMO=1 \
    LUNGLENS_SCENARIOS=/data/scenarios.duckdb \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 1000:1000
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["python", "deploy/serve.py", "--healthy"]
CMD ["python", "deploy/serve.py"]
