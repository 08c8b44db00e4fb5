# The platform's dependencies, which the images of all labs share. The base needs Python and no shell.
ARG BASE=python:3.11-slim
FROM ${BASE}
COPY packages /opt/minirun
RUN ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/usr/local/lib", "/opt/minirun"]
ENV PYTHONPATH=/opt/minirun PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
