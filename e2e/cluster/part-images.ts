// Images made of one part of the machine each: the sandbox of every pod, a shell, Redis. The product's own image is
// in app-image.ts. Called by bring-up.ts (sandbox) and by scenarios.

import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { sandboxImage } from './containerd.ts';
import type { BuiltImage } from './image.ts';
import { buildImage, importImage } from './image.ts';
import { liveCluster } from './live.ts';
import { copyPrograms, programKey } from './program-files.ts';
import type { ProgramFile } from './program-files.ts';
import type { LayerSource } from './image-layer.ts';

/** The image with a shell, wget and nslookup; a Debian package's static busybox. */
export const busyboxImage = 'busybox:e2e';

/** The image with redis-server and redis-cli. */
export const redisImage = 'redis:7-e2e';

function layerOf(programs: readonly ProgramFile[]): LayerSource {
  return {
    key: `programs 2\n${programKey(programs)}`,
    fill: async (folder) => await copyPrograms(folder, programs),
  };
}

/** Builds the sandbox image, which holds the namespaces of every pod. */
export async function buildSandboxImage(): Promise<BuiltImage> {
  const layers = [layerOf([{ from: requirePart('pause'), to: '/pause' }])];
  return await buildImage({ name: sandboxImage, layers, entrypoint: ['/pause'], user: '65535:65535' });
}

/** Those that answer to their own name; the others are called as `busybox <applet>`. */
const busyboxApplets = ['sh', 'wget', 'nslookup', 'httpd', 'sleep', 'cat', 'echo', 'ls', 'id', 'env', 'nc', 'kill'];

/** Builds and imports {@link busyboxImage}; its entrypoint is /bin/sh. Returns its name. */
export async function loadBusyboxImage(): Promise<string> {
  const programs = layerOf([{ from: requirePart('busybox'), to: '/bin/busybox' }]);
  const applets: LayerSource = {
    key: `busybox applets\n${busyboxApplets.join(' ')}\n${programs.key}`,
    fill: async (folder) => {
      await programs.fill(folder);
      for (const applet of busyboxApplets) symlinkSync('busybox', join(folder, 'bin', applet));
    },
  };
  const image = await buildImage({ name: busyboxImage, layers: [applets], entrypoint: ['/bin/sh'] });
  await importImage(image, liveCluster().nodes);
  return busyboxImage;
}

/** Builds and imports {@link redisImage}; its entrypoint is redis-server, its folder /tmp. Returns its name. */
export async function loadRedisImage(): Promise<string> {
  const programs = [
    { from: requirePart('redis-server'), to: '/usr/bin/redis-server' },
    { from: requirePart('redis-cli'), to: '/usr/bin/redis-cli' },
  ];
  const image = await buildImage({
    name: redisImage,
    layers: [layerOf(programs)],
    entrypoint: ['/usr/bin/redis-server'],
    workingFolder: '/tmp',
  });
  await importImage(image, liveCluster().nodes);
  return redisImage;
}
