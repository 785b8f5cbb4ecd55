# One image for every shape: SERVICE says at its start what a container hosts.

FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The image has its own Node.js, and bcrypt brings its binaries along. Without what nothing here reads at run time: source maps, types, other platforms.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' \) -delete \
  && find node_modules/bcrypt/prebuilds -mindepth 1 -maxdepth 1 ! -name 'linux-*' -exec rm -r {} +

FROM node:26-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
# Nobody may change what it runs: it is root's, and the process is not.
USER node
EXPOSE 3000
# Alive, not ready: what restarts unhealthy containers must not restart all of them because the database is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["node", "src/cli/healthcheck.ts"]
# Node.js itself is process 1. It hears SIGTERM, and starts no processes that somebody would have to collect.
CMD ["node", "src/main.ts"]
# Last: whatever follows an argument that changes is built anew.
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Trivet" \
  org.opencontainers.image.description="An e-commerce back end: auth, product and order, as one process or one each" \
  org.opencontainers.image.version="$VERSION" \
  org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.base.name="docker.io/library/node:26-slim"
