// Builds one program from a group's pinned go.mod into the cache. Called by main.ts for each missing part.
// Static (no cgo), so that a program also runs inside an image that holds nothing else.

import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { groupSource } from './cache.ts';
import { builtPath } from './parts.ts';
import type { GoSource, Part } from './parts.ts';
import { runTool } from './run-tool.ts';
import { childEnvironment } from './settings.ts';

/** Lines of a failing build that are shown; the compiler's last ones name the fault. */
const shownLines = 20;

/**
 * Builds a part. Writes beside the target first and renames, so a build that is cut off leaves nothing that looks
 * finished. Throws with the end of the compiler's output.
 */
export async function buildPart(part: Part, source: GoSource): Promise<void> {
  const target = builtPath(part);
  if (target === undefined) throw new Error(`${part.name} is not built from Go`);
  const draft = `${target}.${process.pid}.part`;
  mkdirSync(dirname(target), { recursive: true });
  const stamps = (source.stamp ?? []).map((stamp) => ` -X ${stamp}`).join('');
  const flags = ['-mod=readonly', '-trimpath', '-buildvcs=false', '-ldflags', `-s -w${stamps}`];
  if (source.tags !== undefined) flags.push('-tags', source.tags.join(','));
  const { code, output } = await runGo(['build', ...flags, '-o', draft, source.package], groupSource(source));
  if (code !== 0) {
    rmSync(draft, { force: true });
    const tail = output.trimEnd().split('\n').slice(-shownLines).join('\n');
    throw new Error(`go build of ${source.package} failed (exit ${code}):\n${tail}`);
  }
  chmodSync(draft, 0o755);
  renameSync(draft, target);
}

/** Niced, because a developer's editor and tests share the cores with a build of minutes. */
function runGo(args: readonly string[], cwd: string): Promise<{ code: number; output: string }> {
  return runTool('nice', ['-n', '10', 'go', ...args], {
    cwd,
    env: childEnvironment({ CGO_ENABLED: '0', GOFLAGS: undefined, GOWORK: 'off' }),
    missing: 'could not start go: install Go 1.26.7 or newer',
  });
}
