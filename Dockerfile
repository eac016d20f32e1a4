# The demo app behind thrust, and the pattern for images of your own (examples/ has one per framework):
#
#   docker build --tag thrust-demo . && docker run --rm --publish 3000:3000 thrust-demo

# Stage 1 builds wheels, so that the image carries neither the sources nor what building them needs.
FROM python:3.13-slim AS wheels
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY thrust thrust
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --no-deps /wheels/*.whl

# Numbers, not names: Kubernetes can see then that this is not root.
USER 10001:10001
WORKDIR /app
COPY examples/demo .

# PORT is thrust's, for clients and the proxy in front; the worker gets another one (3001), on loopback only. A user
# who is only a number has no home, and some programs want to write there (gunicorn's control socket).
ENV PORT=3000 HOME=/tmp PYTHONUNBUFFERED=1
EXPOSE 3000

# The image has no curl. http.client, unlike urllib, never asks a proxy from the environment.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import http.client, os; probe = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); probe.request('GET', '/up'); raise SystemExit(probe.getresponse().status != 200)"]

# Exec form, so that thrust is process 1: it gets the signals of `docker stop`, and reaps what others leave behind.
ENTRYPOINT ["thrust"]
CMD ["demo:app"]
