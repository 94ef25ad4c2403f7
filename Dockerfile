# One image for the operator and every role; the manifest says which one runs. JavaScript emitted by tsc, production modules only,
# no shell needed, any non-root user, read-only root filesystem. e2e/cluster builds the same layout without a container engine.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json tsconfig.json tsconfig.build.json ./
# With optional packages: the type checker's own binary is one of them.
RUN npm ci --no-audit --no-fund
COPY operator operator
COPY workloads workloads
COPY e2e/bench e2e/bench
RUN node node_modules/typescript/bin/tsc -p tsconfig.build.json && npm prune --omit=dev --omit=optional

FROM node:24-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
USER 65532:65532
CMD ["node", "dist/operator/main.js"]
