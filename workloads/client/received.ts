// What the application is given of a message. delivery.ts makes it from the frame, once the body is there.
import type { MessageFrame } from '../protocol/frames.ts';
import type { Epoch, MessageId } from '../protocol/ids.ts';
import type { StreamName } from '../protocol/streams.ts';
import type { Place } from './inbox.ts';

export interface ReceivedMessage {
  /** `@high`, `@normal`, `@low` for messages to this device; otherwise the topic. */
  readonly stream: StreamName;
  /** Where it stands in its stream; null: a live message, which is not kept for anyone, or one of a store that is away. */
  readonly offset: number | null;
  readonly epoch: Epoch | null;
  readonly id: MessageId;
  readonly sentAtMs: number;
  /** Which delivery of it this is, from 1. */
  readonly attempt: number;
  readonly attributes: Readonly<Record<string, unknown>> | null;
  /** JSON as parsed, a string for text, bytes for bytes. */
  readonly body: unknown;
}

export function received(frame: MessageFrame, place: Place | null): ReceivedMessage {
  return {
    stream: frame.stream,
    offset: place?.offset ?? null,
    epoch: place?.epoch ?? null,
    id: frame.id,
    sentAtMs: frame.sentAtMs,
    attempt: frame.attempt ?? 1,
    attributes: frame.attributes ?? null,
    body: frame.encoding === 'base64' ? bytesOf(String(frame.body)) : frame.body,
  };
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
