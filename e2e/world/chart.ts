// Real helm on charts/pushcluster, as a user types it. Called by the scenario about installing and by those that need the chart's files.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryFolder } from '../cluster/app-image.ts';
import { runCommand, tryCommand } from '../cluster/command.ts';
import type { CommandResult } from '../cluster/command.ts';
import { requirePart } from '../setup/parts.ts';
import { images } from './images.ts';

export const chartFolder = join(repositoryFolder, 'charts', 'pushcluster');

/** Values that make the release use this run's image, as `--set` words. */
export function imageValues(image: string = images.product): readonly string[] {
  const [repository = '', tag = ''] = image.split(':');
  const values = { 'image.repository': repository, 'image.tag': tag, 'image.pullPolicy': images.pullPolicy };
  return Object.entries(values).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
}

/** Runs helm; throws with what it said. */
export async function helm(words: readonly string[]): Promise<string> {
  return await runCommand([requirePart('helm'), ...words], { timeoutMs: 120_000 });
}

/** Runs helm and tells how it ended, for what is expected to fail. */
export async function tryHelm(words: readonly string[]): Promise<CommandResult> {
  return await tryCommand([requirePart('helm'), ...words], { timeoutMs: 120_000 });
}

/** The rule that the chart gives to prometheus-adapter. */
export function adapterRules(): string {
  return readFileSync(join(chartFolder, 'files', 'prometheus-adapter.yaml'), 'utf8');
}
