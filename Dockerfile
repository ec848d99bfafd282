# One image serves and trains. For a GPU (the default):   docker build -t digit-vae:gpu .
# For a host without one, a third of the size:            docker build -t digit-vae:cpu --build-arg VARIANT=cpu .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS packages
ARG VARIANT=gpu
COPY requirements/train-cpu.txt requirements/train-gpu.txt /requirements/
# The CUDA libraries come as pip packages beside TensorFlow, which finds them itself: LD_LIBRARY_PATH stays unset.
# TensorFlow's C++ headers (280 MB, with CUDA 430) serve only to compile operations of one's own.
RUN case "$VARIANT" in \
      cpu | gpu) ;; \
      *) echo "error: VARIANT is gpu or cpu, not '$VARIANT'" >&2; exit 1 ;; \
    esac \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --timeout 120 \
         --no-deps --require-hashes -r "/requirements/train-$VARIANT.txt" \
    && rm -r /opt/venv/lib/python3*/site-packages/tensorflow/include

FROM ${BASE}
LABEL org.opencontainers.image.title="digit-vae" \
      org.opencontainers.image.description="Trains a variational autoencoder on handwritten digits and serves it over HTTP." \
      org.opencontainers.image.licenses="Apache-2.0"

# A fixed uid, so that the owner of a volume stays the same from one build to the next.
RUN groupadd --gid 10001 vae \
    && useradd --uid 10001 --gid vae --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin vae
COPY --from=packages /opt/venv /opt/venv

# Only /tmp can be written when the root file system is read-only: all that libraries like to write goes there.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    KERAS_HOME=/tmp/keras \
    MPLCONFIGDIR=/tmp/matplotlib \
    TF_FORCE_GPU_ALLOW_GROWTH=true \
    VAE_MODEL_STORE=/srv/model_store

WORKDIR /srv
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY training training
# Installed in place for its version and its commands; compiled now, since nothing can be written later. The modes
# are set because a checkout made under umask 077 would be unreadable to the user below.
RUN chmod -R a+rX . \
    && pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable . \
    && rm -rf ./*.egg-info build \
    && python -m compileall -q app training
# A named volume mounted here is filled from this folder, owner included, when it is used for the first time.
COPY --chown=10001:10001 model_store model_store

USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Importing TensorFlow takes a while on a busy or cold host. http.client, since it heeds no proxy variables.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
  CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
# docker run IMAGE serves; docker run IMAGE training [...] trains.
ENTRYPOINT ["python", "-m"]
CMD ["app.serve", "--host", "0.0.0.0"]
