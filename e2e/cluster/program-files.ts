// The files that programs of this machine need inside an image: the program, the shared libraries that ldd names,
// and the few files that a C library looks for. Called by the *-image.ts files.

import { chmodSync, copyFileSync, mkdirSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tryCommand } from './command.ts';

/** A program and where it goes in the image. */
export interface ProgramFile {
  readonly from: string;
  readonly to: string;
}

/** What identifies programs for a layer's key: path, size and time of each, without reading them. */
export function programKey(programs: readonly ProgramFile[]): string {
  return programs
    .map(({ from, to }) => {
      const stat = statSync(realpathSync(from));
      return `${from} ${to} ${stat.size} ${Math.trunc(stat.mtimeMs)}`;
    })
    .join('\n');
}

/** Copies programs and their libraries below `folder`, and makes the accounts, /tmp and resolver files. */
export async function copyPrograms(folder: string, programs: readonly ProgramFile[]): Promise<void> {
  for (const { from, to } of programs) {
    place(realpathSync(from), join(folder, to));
    for (const library of await sharedLibraries(from)) place(realpathSync(library), join(folder, library));
  }
  mkdirSync(join(folder, 'etc'), { recursive: true });
  writeFileSync(
    join(folder, 'etc/passwd'),
    'root:x:0:0::/root:/sbin/nologin\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n',
  );
  writeFileSync(join(folder, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
  // Without it the C library asks the DNS before the pod's own hosts file.
  writeFileSync(join(folder, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary, { recursive: true });
  chmodSync(temporary, 0o1777);
}

/** The libraries' paths as the loader will ask for them; none for a static program. */
async function sharedLibraries(program: string): Promise<readonly string[]> {
  const listed = await tryCommand(['ldd', program]);
  if (listed.code !== 0) return [];
  const paths = listed.stdout.split('\n').map((line) => /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1]);
  return paths.filter((path) => path !== undefined);
}

function place(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
  chmodSync(to, 0o755);
}
