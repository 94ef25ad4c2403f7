// The product's image for the e2e tests: Node with its libraries, the production packages, and the emitted
// JavaScript, each a layer of its own, so that a code change packs a few hundred kilobytes. The Dockerfile is for
// everyone else. Called by scenarios, once for each run.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { buildImage, importImage } from './image.ts';
import type { LayerSource } from './image-layer.ts';
import { liveCluster } from './live.ts';
import { copyPrograms, programKey } from './program-files.ts';

/** The name that pods use. */
export const appImage = 'pushcluster:e2e';

/** The repository's root. */
export const repositoryFolder = join(import.meta.dirname, '..', '..');

export interface AppImageOptions {
  /** {@link appImage} by default; another name for a second version in a rollout. */
  readonly name?: string;
  /** Folders of emitted JavaScript, relative to the repository; each goes to /app/<same>. `['dist']` by default. */
  readonly folders?: readonly string[];
  /** Added to the image's own; makes another image from the same files, for a rollout. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Builds and imports the product's image into every node. The working folder is /app, the user 65532, and the root
 * filesystem may be read-only (only /tmp wants to be writable). Throws when a folder has not been built.
 * Returns the image's name. Cost: 3 s the first time, then about 2 s for each cluster and node, for the import.
 */
export async function loadAppImage(options: AppImageOptions = {}): Promise<string> {
  const folders = options.folders ?? ['dist'];
  for (const folder of folders) {
    if (!existsSync(join(repositoryFolder, folder))) throw new Error(`there is no ${folder}/: npm run build`);
  }
  const image = await buildImage({
    name: options.name ?? appImage,
    layers: [nodeLayer(), packagesLayer(), codeLayer(folders)],
    // As in the Dockerfile: no entrypoint, so that pods say `command: [node, dist/…/main.js]`.
    command: ['node', 'dist/operator/main.js'],
    environment: { NODE_ENV: 'production', ...options.environment },
    workingFolder: '/app',
  });
  await importImage(image, liveCluster().nodes);
  return image.name;
}

/** The name of the image that holds Node alone. */
export const nodeImage = 'node:24-e2e';

/**
 * Builds and imports Node without any code, for a pod that is a few lines: `args: ['-e', '…']`, say a business's
 * own server in a scenario. Returns the image's name.
 */
export async function loadNodeImage(): Promise<string> {
  const image = await buildImage({ name: nodeImage, layers: [nodeLayer()], entrypoint: ['/usr/local/bin/node'] });
  await importImage(image, liveCluster().nodes);
  return nodeImage;
}

/** The Node that runs this very test: the version that the repository pins. */
function nodeLayer(): LayerSource {
  const programs = [{ from: process.execPath, to: '/usr/local/bin/node' }];
  return { key: `node 1\n${programKey(programs)}`, fill: async (folder) => await copyPrograms(folder, programs) };
}

interface LockedPackage {
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
  readonly link?: boolean;
  readonly version?: string;
}

/** What `npm ci --omit=dev --omit=optional` would install, read from the lockfile in a millisecond. */
function packagesLayer(): LayerSource {
  const lock = JSON.parse(readFileSync(join(repositoryFolder, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  const wanted = Object.entries(lock.packages).filter(([path, entry]) => {
    const isOurs = path === '' || entry.link === true;
    return !isOurs && entry.dev !== true && entry.optional !== true && entry.devOptional !== true;
  });
  return {
    key: `packages 1\n${wanted.map(([path, { version }]) => `${path} ${version}`).join('\n')}`,
    fill: async (folder) => {
      for (const [path] of wanted) {
        const to = join(folder, 'app', path);
        mkdirSync(dirname(to), { recursive: true });
        // A package's own node_modules are entries of their own.
        const isOwn = (from: string): boolean =>
          !from.slice(join(repositoryFolder, path).length).includes('node_modules');
        cpSync(join(repositoryFolder, path), to, { recursive: true, dereference: true, filter: isOwn });
      }
      await Promise.resolve();
    },
  };
}

function codeLayer(folders: readonly string[]): LayerSource {
  const files = ['package.json', ...folders.flatMap((folder) => filesBelow(folder))];
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(repositoryFolder, file)));
  return {
    key: `code 1\n${hash.digest('hex')}`,
    fill: async (folder) => {
      for (const file of files) cpSync(join(repositoryFolder, file), join(folder, 'app', file), { recursive: true });
      await Promise.resolve();
    },
  };
}

function filesBelow(folder: string): readonly string[] {
  const entries = readdirSync(join(repositoryFolder, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(repositoryFolder.length + 1))
    .toSorted();
}
