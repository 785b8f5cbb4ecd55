# One image serves every shape. SERVICE decides at the start which modules a container hosts.

FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The base image has Node.js, and bcrypt includes its binaries. Source maps, types and binaries of other
# platforms are removed, because the program does not read them.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' \) -delete \
  && find node_modules/bcrypt/prebuilds -mindepth 1 -maxdepth 1 ! -name 'linux-*' -exec rm -r {} +

FROM node:26-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
# The files belong to root and the process runs as another user, so that it cannot change its own program.
USER node
EXPOSE 3000
# The check asks whether the process is alive, not whether it is ready: an absent database must not cause a
# restart of all containers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "src/cli/healthcheck.ts"]
# Node.js is process 1. It handles SIGTERM, and it starts no child processes that would need to be reaped.
CMD ["node", "src/main.ts"]
# The build arguments come last, because a changed argument rebuilds every layer after it.
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Trivet" \
  org.opencontainers.image.description="An e-commerce back end: auth, product and order, as one process or one each" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.base.name="docker.io/library/node:26-slim"
