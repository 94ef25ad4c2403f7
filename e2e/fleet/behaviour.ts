// What the application of a test device does with a message besides taking it: nack some, choke on poison, take its time, crash. Decisions are
// pure, by the message's id, so that a run can be told apart from the next one by nothing else. device.ts acts on them.
import type { ReceivedMessage } from '../../workloads/client/client.ts';

export interface Behaviour {
  /** This share of messages fails at its first so many deliveries. */
  readonly nack?: { readonly share: number; readonly deliveries: number };
  /** What bodies with `poison: true` lead to: a nack each time, one that forbids another try, or a crash each time. Default: nothing. */
  readonly poison?: 'nack' | 'dead' | 'person' | 'crash';
  /** The application takes up to so long for a message, ms. */
  readonly workMs?: number;
  /** Each device crashes about so often, ms, and stays away for `crashedMs` (default 500). What it had not saved is lost to it. */
  readonly crashEveryMs?: number;
  readonly crashedMs?: number;
}

export type Reaction = 'take' | 'nack' | 'dead' | 'person' | 'crash';

/** What the application does with this delivery. */
export function reactionTo(message: ReceivedMessage, behaviour: Behaviour): Reaction {
  if (isPoison(message.body)) return behaviour.poison ?? 'take';
  const { nack } = behaviour;
  if (nack === undefined || message.attempt > nack.deliveries) return 'take';
  return shareOf(message.id) < nack.share ? 'nack' : 'take';
}

/** How long it takes, ms. */
export function workMsOf(message: ReceivedMessage, { workMs = 0 }: Behaviour): number {
  return Math.round(shareOf(`${message.id}work`) * workMs);
}

/** The publisher's key in a body: names the publication whatever id it was stored under. Null: none. */
export function keyIn(body: unknown): string | null {
  const key = typeof body === 'object' && body !== null ? (body as { k?: unknown }).k : null;
  return typeof key === 'string' ? key : null;
}

function isPoison(body: unknown): boolean {
  return typeof body === 'object' && body !== null && (body as { poison?: unknown }).poison === true;
}

/** A number of 0 … 1 by the text alone (FNV-1a). */
function shareOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) / 4_294_967_296;
}
