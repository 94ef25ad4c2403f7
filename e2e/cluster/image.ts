// Makes container images without a registry: an OCI image layout in the cache, whose layers are hard links to the
// packed ones, streamed as a tar into each node's containerd. Pods use them with imagePullPolicy: Never.
// Called by the *-image.ts files, which say what goes in.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { requirePart } from '../setup/parts.ts';
import { cacheFolder } from '../setup/settings.ts';
import { containerdNamespace } from './containerd.ts';
import { packLayer } from './image-layer.ts';
import type { Layer, LayerSource } from './image-layer.ts';
import type { NodeLayout } from './layout.ts';
import { dropUnused, markUsed } from './unused-files.ts';

/** An image: its name as pods write it, its layers from the bottom up, and how it starts. */
export interface ImageSource {
  readonly name: string;
  readonly layers: readonly LayerSource[];
  /** What always runs first; a pod's `command` replaces it. */
  readonly entrypoint?: readonly string[];
  /** What runs, or follows the entrypoint, unless the pod says otherwise (`args`). */
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly workingFolder?: string;
  /** Numeric, so that runAsNonRoot can be checked; 65532 by default, as the product's own image has it. */
  readonly user?: string;
}

/** An image in the cache. */
export interface BuiltImage {
  readonly name: string;
  readonly folder: string;
  readonly digest: string;
}

/** Builds an image into the cache, or finds it there. Cost when nothing changed: a few stat calls. */
export async function buildImage(source: ImageSource): Promise<BuiltImage> {
  const layers: Layer[] = [];
  for (const layer of source.layers) layers.push(await packLayer(layer));
  const config = encode(imageConfig(source, layers));
  const manifest = encode({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: blob('application/vnd.oci.image.config.v1+json', digestOf(config), config.length),
    layers: layers.map(({ digest, bytes }) => blob('application/vnd.oci.image.layer.v1.tar', digest, bytes)),
  });
  const digest = digestOf(manifest);
  const folder = join(cacheFolder(), 'images', 'layouts', digest.slice(0, 32));
  if (!existsSync(folder)) {
    const draft = `${folder}.${process.pid}`;
    rmSync(draft, { recursive: true, force: true });
    const blobs = join(draft, 'blobs', 'sha256');
    mkdirSync(blobs, { recursive: true });
    for (const layer of layers) {
      if (!existsSync(join(blobs, layer.digest))) linkSync(layer.file, join(blobs, layer.digest));
    }
    writeFileSync(join(blobs, digestOf(config)), config);
    writeFileSync(join(blobs, digest), manifest);
    writeFileSync(join(draft, 'oci-layout'), encode({ imageLayoutVersion: '1.0.0' }));
    writeFileSync(join(draft, 'index.json'), imageIndex(source.name, digest, manifest.length));
    // Somebody else may have finished the same image meanwhile; it is the same.
    if (existsSync(folder)) rmSync(draft, { recursive: true, force: true });
    else renameSync(draft, folder);
    dropUnused(dirname(folder));
  }
  markUsed(folder);
  return { name: source.name, folder, digest };
}

/** Imports an image into nodes, all at once. 0.2 s for a small one, about 1.5 s for one with Node in it. */
export async function importImage(image: BuiltImage, nodes: readonly NodeLayout[]): Promise<void> {
  await Promise.all(nodes.map(async (node) => await importInto(image, node)));
}

async function importInto(image: BuiltImage, node: NodeLayout): Promise<void> {
  const tar = spawn('tar', ['-cf', '-', '-C', image.folder, '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const words = ['-a', node.containerdSocket, '-n', containerdNamespace, 'images', 'import', '-'];
  const ctr = spawn(requirePart('ctr'), words, { stdio: [tar.stdout, 'pipe', 'pipe'] });
  // The pipe now belongs to ctr; this process must not read from it.
  tar.stdout.destroy();
  let said = '';
  ctr.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  ctr.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise<number>((resolve, reject) => {
    ctr.once('error', reject);
    ctr.once('close', (exit) => resolve(exit ?? 1));
  });
  if (code !== 0) throw new Error(`could not import ${image.name} into ${node.name}: ${said.slice(-2_000)}`);
}

function imageConfig(source: ImageSource, layers: readonly Layer[]): unknown {
  const environment = { PATH: '/usr/local/bin:/usr/bin:/bin', ...source.environment };
  return {
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: {
      User: source.user ?? '65532:65532',
      ...(source.entrypoint === undefined ? {} : { Entrypoint: source.entrypoint }),
      ...(source.command === undefined ? {} : { Cmd: source.command }),
      Env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      WorkingDir: source.workingFolder ?? '/',
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => `sha256:${digest}`) },
  };
}

/** The name that the kubelet looks for: `pushcluster:e2e` means docker.io/library/pushcluster:e2e. */
function fullName(name: string): string {
  const first = name.split('/')[0] ?? '';
  if (name.includes('/') && /[.:]/.test(first)) return name;
  return name.includes('/') ? `docker.io/${name}` : `docker.io/library/${name}`;
}

function imageIndex(name: string, digest: string, bytes: number): Buffer {
  const annotations = {
    'io.containerd.image.name': fullName(name),
    'org.opencontainers.image.ref.name': fullName(name),
  };
  const manifest = blob('application/vnd.oci.image.manifest.v1+json', digest, bytes);
  return encode({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] });
}

function blob(mediaType: string, digest: string, size: number): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: `sha256:${digest}`, size };
}

function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
