// What the API server showed while a scenario ran, each change with the time it was seen: `kubectl get --watch` on one kind. Scenarios ask it
// afterwards in which order things happened: drained before removed, never more than one away.
import { spawn } from 'node:child_process';
import { requirePart } from '../setup/parts.ts';
import type { KubeObject } from '../cluster/kubectl.ts';
import { waitFor } from '../cluster/wait.ts';

export interface Seen<T extends KubeObject> {
  /** ms since 1970, by this machine's clock, which is the clients' and the pods' too. */
  readonly atMs: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: T;
}

export interface Timeline<T extends KubeObject> {
  /** Oldest first. */
  readonly seen: readonly Seen<T>[];
  stop(): void;
}

/** Follows one kind in a namespace; resolves once the watch has begun and has shown the first object: there must be one. */
export async function followKind<T extends KubeObject>(
  kind: string,
  namespace: string,
  selector?: string,
): Promise<Timeline<T>> {
  const selection = selector === undefined ? [] : ['-l', selector];
  const words = ['get', kind, '-n', namespace, ...selection, '--watch', '--output-watch-events', '-o', 'json'];
  const child = spawn(requirePart('kubectl'), words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const seen: Seen<T>[] = [];
  let said = '';
  let hasEnded = false;
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.once('close', () => (hasEnded = true));
  const take = splitLines((text) => {
    const event = JSON.parse(text) as { type: Seen<T>['type']; object: T };
    seen.push({ atMs: Date.now(), type: event.type, object: event.object });
  });
  child.stdout.setEncoding('utf8').on('data', take);
  const giveUp = (): Error | undefined =>
    hasEnded ? new Error(`kubectl ${words.join(' ')} ended: ${said}`) : undefined;
  await waitFor(`the watch on ${kind} of ${namespace}`, () => seen.length > 0, { timeoutMs: 15_000, giveUp });
  return { seen, stop: () => void child.kill('SIGTERM') };
}

/** kubectl prints one line of JSON for each event. */
function splitLines(onLine: (text: string) => void): (chunk: string) => void {
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onLine(line);
  };
}
