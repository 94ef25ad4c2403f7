// Text ↔ frames on the client's side of a WebSocket. Only the form that the client depends on is checked; kinds and fields that this
// version does not know are ignored, so that a newer gateway can talk to it. client.ts calls it for each frame.
import type { ClientFrame, ServerFrame } from '../protocol/frames.ts';

/** What came is not a frame: the connection is of no use. */
export class InvalidFrameError extends Error {
  readonly code = 'invalid-frame';
}

type Check = (frame: Record<string, unknown>) => boolean;

const isText = (value: unknown): value is string => typeof value === 'string';
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const isState = (value: unknown): boolean => {
  const state = value as Record<string, unknown> | null;
  return (
    typeof state === 'object' &&
    state !== null &&
    isText(state['stream']) &&
    isText(state['epoch']) &&
    isCount(state['offset']) &&
    typeof state['recovered'] === 'boolean'
  );
};
const isStates = (value: unknown): boolean => Array.isArray(value) && value.every(isState);

const CHECKS: Readonly<Record<ServerFrame['type'], Check>> = {
  welcome: (f) =>
    isText(f['gateway']) &&
    isText(f['ticket']) &&
    isTexts(f['targets']) &&
    isCount(f['heartbeatIntervalMs']) &&
    isStates(f['streams']),
  message: (f) =>
    isText(f['stream']) &&
    isText(f['id']) &&
    (f['offset'] === undefined || isCount(f['offset'])) &&
    (f['prev'] === undefined || isCount(f['prev'])) &&
    (f['attempt'] === undefined || isCount(f['attempt'])) &&
    (f['body'] !== undefined || (f['idOnly'] === true && f['offset'] !== undefined)), // without an offset nothing can be fetched
  subscribed: (f) => isCount(f['id']) && isStates(f['streams']),
  unsubscribed: (f) => isCount(f['id']),
  stream: (f) => isState(f['state']),
  taken: (f) => isCount(f['id']),
  pong: (f) =>
    (f['ticket'] === undefined || isText(f['ticket'])) && (f['targets'] === undefined || isTexts(f['targets'])),
  goaway: (f) => isText(f['ticket']) && isTexts(f['targets']) && isCount(f['afterMs']) && isCount(f['deadlineMs']),
  degraded: (f) => isCount(f['levelMin']) && isCount(f['forMs']),
  restored: () => true,
  pulled: (f) => isCount(f['id']) && isText(f['stream']) && isCount(f['sent']) && typeof f['left'] === 'boolean',
  fetched: (f) => isCount(f['id']) && f['body'] !== undefined,
  sent: (f) => isCount(f['id']) && isText(f['messageId']),
  grouped: (f) =>
    isCount(f['id']) &&
    isText(f['group']) &&
    (f['members'] === undefined || isTexts(f['members'])) &&
    (f['next'] === undefined || f['next'] === null || isText(f['next'])),
  error: (f) => isText(f['code']) && isText(f['message']),
};

/** Text of one WebSocket message → frame; null for a kind this version does not know. Throws InvalidFrameError. */
export function decodeServerFrame(text: unknown): ServerFrame | null {
  const value = parse(text);
  const type = value['type'];
  if (!isText(type)) throw new InvalidFrameError('type: expected a text');
  if (!Object.hasOwn(CHECKS, type)) return null;
  if (!CHECKS[type as ServerFrame['type']](value))
    throw new InvalidFrameError(`${type}: a field is missing or of the wrong form`);
  return value as unknown as ServerFrame;
}

/** Frame → text of one WebSocket message. */
export function encodeClientFrame(frame: ClientFrame): string {
  return JSON.stringify(frame);
}

function parse(text: unknown): Record<string, unknown> {
  if (!isText(text)) throw new InvalidFrameError('expected a text message, got bytes');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InvalidFrameError('expected JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidFrameError('expected a JSON object');
  return value as Record<string, unknown>;
}
