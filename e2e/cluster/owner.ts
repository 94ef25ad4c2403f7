// Who holds a cluster: written beside it, so that the next start knows whether a cluster's folder belongs to a
// living run or to one that was killed. A pid alone would not do, since pids come again: the start time tells.

import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';

/** A process, told apart from a later one with the same pid. */
export interface ProcessMark {
  readonly pid: number;
  /** Clock ticks after boot, from /proc. */
  readonly startedAt: string;
}

/** The processes of a cluster on the host's side. */
export interface Owner {
  readonly name: string;
  readonly nodes: number;
  /** `unshare`, which holds the namespaces until their first process has died. */
  readonly holder: ProcessMark | undefined;
  /** The run that the cluster belongs to; undefined for a developer's, which outlives its command. */
  readonly runner: ProcessMark | undefined;
}

/** Marks a living process; undefined when there is none of that pid. */
export function markProcess(pid: number): ProcessMark | undefined {
  const startedAt = readStat(pid)?.startedAt;
  return startedAt === undefined ? undefined : { pid, startedAt };
}

/** Whether that very process still lives. */
export function isMarkAlive(mark: ProcessMark | undefined): boolean {
  return mark !== undefined && readStat(mark.pid)?.startedAt === mark.startedAt;
}

/** The children of a process. Costs one look at every process of the machine. */
export function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((candidate) => readStat(candidate)?.parent === pid);
}

/** Writes the owner, whole or not at all. */
export function writeOwner(file: string, owner: Owner): void {
  writeFileSync(`${file}.part`, JSON.stringify(owner));
  renameSync(`${file}.part`, file);
}

/** Reads the owner; undefined when a start was cut off before it wrote one. */
export function readOwner(file: string): Owner | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Owner) : undefined;
}

function readStat(pid: number): { readonly parent: number; readonly startedAt: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The fields after the command's name, which is in parentheses and may hold spaces: state is the third.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z') return undefined;
    return { parent: Number(fields[1]), startedAt: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}
