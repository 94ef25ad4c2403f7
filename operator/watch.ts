// A watch that does not end: lists, then follows changes, goes on from the last version after a cut, lists again when that is too
// old, and waits with jitter when the server fails. Handlers must only note keys. controller.ts runs one for each kind.
import type { Clock } from '../workloads/runtime/clock.ts';
import type { Log } from '../workloads/runtime/log.ts';
import type { Kind, Kube, KubeObject, Selection, Watch } from './kube/port.ts';

export interface WatchOptions {
  readonly kube: Kube;
  readonly kind: Kind;
  readonly selection: Selection;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ random() < 1 */
  readonly random: () => number;
  /** Called for every object of a list and for every change after it. */
  readonly onObject: (object: KubeObject) => void;
}

export const RESTART_MIN_MS = 500;
export const RESTART_MAX_MS = 30_000;
/** A watch that held this long counts as good: its end is no failure. */
const STABLE_MS = 5000;

export interface SupervisedWatch {
  /** Resolves after the first list, or after stop. */
  readonly synced: Promise<void>;
  /** Resolves when nothing of it is left. */
  stop(): Promise<void>;
}

export function superviseWatch(options: WatchOptions): SupervisedWatch {
  const { promise: synced, resolve: onSynced } = Promise.withResolvers<void>();
  const { promise: stopped, resolve: onStop } = Promise.withResolvers<void>();
  const state = { isStopped: false, current: null as Watch | null };
  const done = run(options, { state, onSynced, stopped });
  return {
    synced,
    async stop() {
      state.isStopped = true;
      onSynced();
      onStop();
      state.current?.stop();
      await done;
    },
  };
}

interface Run {
  readonly state: { isStopped: boolean; current: Watch | null };
  readonly onSynced: () => void;
  readonly stopped: Promise<void>;
}

async function run(options: WatchOptions, { state, onSynced, stopped }: Run): Promise<void> {
  let version: string | null = null;
  let failures = 0;
  while (!state.isStopped) {
    try {
      version ??= await listAll(options);
      onSynced();
      const startedMs = options.clock.monotonicMs();
      const follow = { from: version, state };
      const end = await followChanges(options, follow);
      version = end.why === 'expired' ? null : end.version;
      failures = options.clock.monotonicMs() - startedMs >= STABLE_MS ? 0 : failures + 1;
      if (!state.isStopped)
        options.log.debug({ kind: options.kind.kind, why: end.why, detail: end.detail }, 'watch ended; starting again');
    } catch (error) {
      failures += 1;
      version = null;
      const problem = error instanceof Error ? error.message : String(error);
      options.log.warn({ kind: options.kind.kind, problem }, 'list failed; trying again');
    }
    if (!state.isStopped) await pause(options, failures, stopped);
  }
}

async function listAll(options: WatchOptions): Promise<string> {
  const list = await options.kube.list(options.kind, options.selection);
  for (const object of list.items) options.onObject(object);
  return list.resourceVersion;
}

async function followChanges(
  options: WatchOptions,
  follow: { readonly from: string; readonly state: Run['state'] },
): Promise<{ why: string; detail: string; version: string }> {
  let version = follow.from;
  const watch = options.kube.watch(options.kind, { ...options.selection, resourceVersion: version }, (event) => {
    if (event.type === 'bookmark') {
      version = event.resourceVersion;
    } else {
      version = event.object.metadata.resourceVersion ?? version;
      options.onObject(event.object);
    }
  });
  follow.state.current = watch;
  if (follow.state.isStopped) watch.stop();
  const end = await watch.ended;
  return { ...end, version };
}

async function pause(options: WatchOptions, failures: number, stopped: Promise<void>): Promise<void> {
  const full = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** Math.min(failures, 10));
  const delayMs = full / 2 + (full / 2) * options.random();
  let cancel: (() => void) | undefined;
  const waited = new Promise<void>((resolve) => {
    cancel = options.clock.after(delayMs, resolve);
  });
  await Promise.race([waited, stopped]);
  cancel?.();
}
