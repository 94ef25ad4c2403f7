// Kinds of frames on links by their byte, the words of their choices by place, and what is wrong with bytes that are no frames.
// frame-writer.ts and codec.ts share them.
import type { Answer, Forwarded, LinkFrame } from '../protocol/link.ts';

export type FrameFault = 'too-large' | 'malformed' | 'unknown-kind';

/** Bytes that are not frames of this version; the link they came on is closed with `fault` as the reason. */
export class LinkFrameError extends Error {
  readonly code = 'link-frame';
  readonly fault: FrameFault;
  constructor(fault: FrameFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** The kind byte of each frame. 64 and above belong to the handshake. */
export const KIND = {
  'deliver-device': 1,
  'deliver-topic': 2,
  answer: 3,
  replaced: 4,
  ping: 5,
  pong: 6,
  'deliver-many': 7,
  'answer-many': 8,
  command: 9,
  reply: 10,
  'forward-live': 11,
  'feed-request': 12,
  feed: 13,
  'feed-later': 14,
  forwarded: 15,
} as const satisfies Record<LinkFrame['kind'], number>;
export const FORWARDED = ['sent', 'offline', 'unknown', 'busy'] as const satisfies readonly Forwarded['outcome'][];
export const OUTCOMES = ['taken', 'not-here', 'slow'] as const satisfies readonly Answer['outcome'][];
/** The length before each payload. */
export const HEADER_BYTES = 4;
