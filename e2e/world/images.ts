// The images that every scenario's pods use: the product's and Redis. Loaded once for each cluster and build: a file in the cluster's folder
// remembers what is there already, since an import costs seconds. operator.ts calls this first.
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { appImage, loadAppImage, repositoryFolder } from '../cluster/app-image.ts';
import { findLiveCluster } from '../cluster/live.ts';
import { loadRedisImage, redisImage } from '../cluster/part-images.ts';

/** The product's image under a second name and with another digest, for a rollout. */
export const nextImage = 'pushcluster:e2e-next';

/** As manifests name them. With a KUBECONFIG of somebody else's cluster its nodes must have them already. */
export const images = { product: appImage, redis: redisImage, pullPolicy: 'Never' } as const;

/** Loads the product's and Redis's image into every node. Returns whether anything was loaded: running pods then have old code. */
export async function loadImages(): Promise<boolean> {
  const cluster = findLiveCluster();
  if (cluster === undefined) return false;
  const stamp = join(cluster.folder, 'world-images');
  const build = fingerprint();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === build) return false;
  await loadRedisImage();
  await loadAppImage();
  writeFileSync(stamp, build);
  return true;
}

/** Loads {@link nextImage}: the same code, with one more variable in its environment. */
export async function loadNextImage(): Promise<string> {
  return await loadAppImage({ name: nextImage, environment: { PUSHCLUSTER_E2E_IMAGE: 'next' } });
}

/** What was emitted, by names, sizes and times. */
function fingerprint(): string {
  const hash = createHash('sha256');
  for (const file of globSync('dist/**/*.js', { cwd: repositoryFolder }).toSorted()) {
    const { size, mtimeMs } = statSync(join(repositoryFolder, file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}
