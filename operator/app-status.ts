// What a PushApp says of itself: whether it is in use, or refused and why. plan.ts calls it. Pure.
import { isRow, isSameJson } from './kube/fields.ts';
import type { Action, AppResource, Note } from './types.ts';

const MESSAGE_CHARS_MAX = 1024;

/** The write of its status; none when it says the same already. */
export function planAppStatus(app: AppResource, nowMs: number): readonly Action[] {
  const { object, problems } = app;
  const before = conditionOf(object['status']);
  const isAccepted = problems.length === 0;
  const status = isAccepted ? 'True' : 'False';
  const message = isAccepted ? 'In the apps document' : problems.join('; ').slice(0, MESSAGE_CHARS_MAX);
  const nowIso = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const condition = {
    type: 'Accepted',
    status,
    reason: isAccepted ? 'InUse' : 'InvalidSpec',
    message,
    observedGeneration: object.metadata.generation ?? 1,
    lastTransitionTime: before?.['status'] === status ? before['lastTransitionTime'] : nowIso,
  };
  const next = { observedGeneration: object.metadata.generation ?? 1, conditions: [condition] };
  if (isSameJson(object['status'], next)) return [];
  const isNews = before?.['status'] !== status || before['message'] !== message;
  const note: Note | null =
    isNews && !isAccepted
      ? { type: 'Warning', reason: 'AppRefused', message: `PushApp ${object.metadata.name}: ${message}` }
      : null;
  return [{ kind: 'app-status', app: object, status: next, note }];
}

function conditionOf(status: unknown): Record<string, unknown> | undefined {
  const list: unknown = isRow(status) ? status['conditions'] : undefined;
  return Array.isArray(list) ? list.filter(isRow).find((c) => c['type'] === 'Accepted') : undefined;
}
