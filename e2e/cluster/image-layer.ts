// One layer of an image: a tar of a folder, kept in the cache under the key of what went in, so that the 120 MB of
// Node and its libraries are packed once. Called by image.ts; the files come from program-files.ts and the
// *-image.ts files.

import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../setup/settings.ts';
import { runCommand } from './command.ts';
import { dropUnused, markUsed } from './unused-files.ts';

/** What a layer holds. `key` must change whenever the files would. */
export interface LayerSource {
  readonly key: string;
  /** Puts the layer's files below the folder, which is empty and becomes the image's root. */
  readonly fill: (folder: string) => Promise<void>;
}

/** A packed layer. */
export interface Layer {
  readonly file: string;
  /** sha256 of the tar; uncompressed, so it is also the layer's diff id. */
  readonly digest: string;
  readonly bytes: number;
}

/** Packs a layer, or finds it packed. Cost: the files once; then one stat. */
export async function packLayer(source: LayerSource): Promise<Layer> {
  const folder = join(cacheFolder(), 'images', 'layers');
  mkdirSync(folder, { recursive: true });
  const name = createHash('sha256').update(source.key).digest('hex').slice(0, 32);
  const file = join(folder, `${name}.tar`);
  const digestFile = `${file}.digest`;
  if (!existsSync(digestFile) || !existsSync(file)) {
    const draft = join(folder, `${name}.${process.pid}`);
    try {
      mkdirSync(draft, { recursive: true });
      await source.fill(draft);
      await runCommand(['tar', ...reproducible, '-cf', `${draft}.tar`, '-C', draft, '.']);
      renameSync(`${draft}.tar`, file);
      writeFileSync(digestFile, await sha256(file));
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
    dropUnused(folder);
  }
  markUsed(file);
  markUsed(digestFile);
  return { file, digest: readFileSync(digestFile, 'utf8'), bytes: statSync(file).size };
}

/** The same files give the same digest, whoever packs them and when. */
const reproducible = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu'];

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
