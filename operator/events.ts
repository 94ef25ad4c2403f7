// Events on a PushCluster: one for each decision, seen by `kubectl describe`. The same note within a while raises the count of its
// event and is not written again at once; each object has a bucket of tokens, so that no fault floods the API server. An event
// that cannot be written is logged and forgotten: it is never a reason to fail.
import type { Clock } from '../workloads/runtime/clock.ts';
import type { Log } from '../workloads/runtime/log.ts';
import { contentHash } from './hash.ts';
import type { EventView } from './kube/objects.ts';
import { isKubeStatus, KINDS } from './kube/port.ts';
import type { Kube, KubeObject } from './kube/port.ts';
import type { Note } from './types.ts';

/** The same note is not written again within this. */
const REPEAT_MS = 60_000;
const BURST = 30;
const REFILL_MS = 5000;
/** Notes remembered; the oldest are forgotten first. */
const REMEMBERED_MAX = 2000;
const MESSAGE_CHARS_MAX = 1000;

export interface Events {
  /** Never rejects. */
  record(object: KubeObject, note: Note): Promise<void>;
}

export function openEvents(deps: { readonly kube: Kube; readonly clock: Clock; readonly log: Log }): Events {
  const writtenAtMs = new Map<string, number>();
  const buckets = new Map<string, { tokens: number; atMs: number }>();

  const isAllowed = (object: KubeObject, name: string): boolean => {
    const nowMs = deps.clock.nowMs();
    const last = writtenAtMs.get(name);
    if (last !== undefined && nowMs - last < REPEAT_MS) return false;
    const uid = object.metadata.uid ?? '';
    const bucket = buckets.get(uid) ?? { tokens: BURST, atMs: nowMs };
    const tokens = Math.min(BURST, bucket.tokens + (nowMs - bucket.atMs) / REFILL_MS);
    buckets.delete(uid);
    buckets.set(uid, { tokens: Math.max(0, tokens - 1), atMs: nowMs });
    if (tokens < 1) return false;
    writtenAtMs.delete(name);
    writtenAtMs.set(name, nowMs);
    for (const memory of [writtenAtMs, buckets])
      for (const key of memory.keys()) if (memory.size > REMEMBERED_MAX) memory.delete(key);
    return true;
  };

  return {
    async record(object, note) {
      const event = eventOf(object, note, deps.clock.nowMs());
      if (!isAllowed(object, event.metadata.name)) return;
      try {
        await write(deps.kube, event);
      } catch (error) {
        const problem = error instanceof Error ? error.message : String(error);
        deps.log.warn({ problem, reason: note.reason }, 'event not written');
      }
    },
  };
}

async function write(kube: Kube, event: EventView): Promise<void> {
  try {
    await kube.create(event);
  } catch (error) {
    if (!isKubeStatus(error, 409)) throw error;
    const at = { name: event.metadata.name, namespace: event.metadata.namespace ?? 'default' };
    const before: EventView | null = await kube.get(KINDS.event, at);
    await kube.merge(KINDS.event, at, {
      count: (before?.count ?? 1) + 1,
      lastTimestamp: event['lastTimestamp'],
    });
  }
}

function eventOf(object: KubeObject, note: Note, nowMs: number): EventView {
  const { name, namespace = 'default', uid = '' } = object.metadata;
  const nowIso = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const message = note.message.slice(0, MESSAGE_CHARS_MAX);
  return {
    apiVersion: KINDS.event.apiVersion,
    kind: KINDS.event.kind,
    metadata: { name: `${name}.${contentHash([uid, note.reason, message])}`, namespace },
    involvedObject: { apiVersion: object.apiVersion, kind: object.kind, name, namespace, uid },
    type: note.type,
    reason: note.reason,
    message,
    count: 1,
    firstTimestamp: nowIso,
    lastTimestamp: nowIso,
    source: { component: 'pushcluster-operator' },
    reportingComponent: 'pushcluster.io/operator',
    reportingInstance: '',
  };
}
