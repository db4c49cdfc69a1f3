# The official Airflow with smelt, for the profile `airflow` of deploy/compose.yaml.
# hadolint ignore=DL3007 # it was made on this machine, not published
FROM smelt:latest AS smelt

FROM docker.io/apache/airflow:3.3.2
USER 0
COPY packages.txt /tmp/packages.txt
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update && xargs apt-get install -y --no-install-recommends </tmp/packages.txt && rm -rf /var/lib/apt/lists/*
COPY --from=smelt /usr/bin/smelt /usr/local/bin/smelt
USER 50000
