// Gets a program that runs from Java archives: Maven copies a group's pinned jars into the cache, and a launcher beside them runs any
// main class of theirs (`kafka [java options] <main class> [arguments]`). Called by main.ts for each missing part.

import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { groupSource } from './cache.ts';
import { builtPath } from './parts.ts';
import type { MavenSource, Part } from './parts.ts';
import { runTool } from './run-tool.ts';
import { childEnvironment } from './settings.ts';

/** Lines of a failing run that are shown. */
const shownLines = 20;

/** Replaces the shell by Java, so that the pid that was started is the program's. */
const launcher = `#!/bin/sh\nexec java -cp "$(dirname "$0")/lib/*" "$@"\n`;

/**
 * Copies the jars and writes the launcher, in a folder beside the target that is renamed at the end: a run that is cut off leaves
 * nothing that looks finished. Throws with the end of Maven's output.
 */
export async function copyJars(part: Part, source: MavenSource): Promise<void> {
  const target = builtPath(part);
  if (target === undefined) throw new Error(`${part.name} is not made of jars`);
  const folder = dirname(target);
  const draft = `${folder}.${process.pid}.part`;
  mkdirSync(draft, { recursive: true });
  const pom = join(groupSource(source), 'pom.xml');
  const copy = ['dependency:copy-dependencies', `-DoutputDirectory=${join(draft, 'lib')}`, '-DincludeScope=runtime'];
  const { code, output } = await runTool('mvn', ['-B', '-q', '--strict-checksums', '-f', pom, ...copy], {
    env: childEnvironment({}),
    missing: 'could not start mvn: install Maven 3.8 or newer',
  });
  if (code !== 0) {
    rmSync(draft, { recursive: true, force: true });
    const tail = output.trimEnd().split('\n').slice(-shownLines).join('\n');
    throw new Error(`mvn for ${part.name} failed (exit ${code}):\n${tail}`);
  }
  const program = join(draft, part.name);
  writeFileSync(program, launcher);
  chmodSync(program, 0o755);
  rmSync(folder, { recursive: true, force: true });
  renameSync(draft, folder);
}
