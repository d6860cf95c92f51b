# syntax=docker/dockerfile:1
# One image for each service, which contains no other service:
#
#     docker build --build-arg SERVICE=consent --tag staffel-consent .
#
# and one with the command line, for whoever installs and operates:
#
#     docker build --target tools --tag staffel-tools .

# The Python on which everything is tested. Whoever deploys pins the digest of what they have tried.
ARG PYTHON=python:3.11-slim-bookworm

# --- libraries, each checked against our list of hashes -----------------------------------------------------------------

FROM ${PYTHON} AS service-libraries
COPY requirements/service.txt /requirements.txt
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --no-compile --require-hashes --requirement /requirements.txt

FROM ${PYTHON} AS tools-libraries
COPY requirements/run.txt /requirements.txt
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --no-compile --require-hashes --requirement /requirements.txt

# --- the command line ---------------------------------------------------------------------------------------------------

FROM ${PYTHON} AS tools
COPY --from=tools-libraries /venv /venv
WORKDIR /staffel
COPY pyproject.toml LICENSE ./
COPY chassis chassis
COPY contracts contracts
COPY services services
COPY deploy deploy
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 STAFFEL_DATA=/var/lib/staffel/authority
# The folder exists and belongs to the user, so that a volume mounted there does, too.
RUN python -m deploy.container metadata /venv/lib/python3.11/site-packages \
 && install --directory --mode=0755 --owner=10001 --group=10001 /var/lib/staffel
USER 10001:10001
ENTRYPOINT ["python", "-m", "deploy.cli"]

# --- one service --------------------------------------------------------------------------------------------------------

FROM ${PYTHON} AS service
ARG SERVICE
RUN test -n "${SERVICE}" || { echo "--build-arg SERVICE=intake|consent|handover|offers" >&2; exit 1; }
COPY --from=service-libraries /venv /venv
WORKDIR /staffel
COPY pyproject.toml LICENSE ./
COPY chassis chassis
COPY contracts/*.py contracts/
COPY services/__init__.py services/
COPY services/${SERVICE} services/${SERVICE}
COPY deploy/__init__.py deploy/container.py deploy/migrations.py deploy/
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 STAFFEL_SERVICE=${SERVICE} STAFFEL_HOST=0.0.0.0 STAFFEL_PORT=8080
RUN python -m deploy.container metadata /venv/lib/python3.11/site-packages
USER 10001:10001
EXPOSE 8080
# SIGTERM ends it in order, within 15 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["python", "-m", "deploy.container", "ready"]
ENTRYPOINT ["python", "-m", "deploy.container"]
CMD ["run"]
