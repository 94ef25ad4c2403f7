// What test devices say by themselves: messages to other devices and to groups, and messages to their business. Paced, each logged once it is
// taken, so that it can be compared with what came at the other end: client to client like a publisher's log, upstream by device and number.
import { appendFileSync } from 'node:fs';
import type { Client } from '../../workloads/client/client.ts';
import type { Recipient } from './compare.ts';
import { deviceName } from './names.ts';
import type { DeviceRange } from './names.ts';
import type { PublishedLine } from './publish.ts';

export interface Speaker {
  readonly name: string;
  /** Null while it is crashed. */
  readonly client: Client | null;
}
export interface TalkOptions {
  /** Messages in all, by the speakers in turn, and how many a second. */
  readonly count: number;
  readonly rate: number;
  /** File of the log, JSON lines, appended to. */
  readonly log: string;
  /** Start of the keys; different for each talk of an app. */
  readonly keyPrefix: string;
}
export interface SendOptions extends TalkOptions {
  /** Devices in turn, or a group whose members' devices are these. */
  readonly to: { readonly devices: DeviceRange } | { readonly group: string; readonly devices: DeviceRange };
}
export interface UpstreamOptions extends TalkOptions {
  readonly kind: string;
  /** Of so many order keys each message of a device has one in turn; left out: the device's own order. */
  readonly orders?: number;
}
/** One upstream message. */
export interface UpstreamLine {
  readonly device: string;
  /** Within its device and order, rising by one. */
  readonly number: number;
  readonly order: string | null;
  readonly key: string;
  readonly tMs: number;
  /** Null: nobody told its sender; it may be handled, or not. */
  readonly takenMs: number | null;
}
export interface TalkCounts {
  readonly said: number;
  readonly taken: number;
  readonly failed: number;
  readonly lastProblem: string | null;
}

const TICK_MS = 20;

/** Client to client. Resolves when all are stored. */
export function sendByTurns(speakers: readonly Speaker[], options: SendOptions): Promise<TalkCounts> {
  const { to, keyPrefix, log } = options;
  const { first, count, prefix } = to.devices;
  return pace(options, async (number) => {
    const speaker = speakers[number % speakers.length]!;
    const device = deviceName(first + ((number + 1) % count), prefix);
    const tMs = Date.now();
    const key = `${keyPrefix}-${number}`;
    const recipient = 'group' in to ? { group: to.group } : { device };
    const owed: Recipient = 'group' in to ? { list: to.devices } : { device };
    const base = { key, to: owed, class: 'durable', tMs, attempts: 1 } as const;
    const note = (line: PublishedLine): void => appendFileSync(log, `${JSON.stringify(line)}\n`);
    try {
      const id = await aliveClient(speaker).send(recipient, { k: key, n: number, t: tMs });
      note({ ...base, id, acceptedMs: Date.now(), outcome: 'accepted' });
    } catch (error) {
      note({ ...base, id: null, acceptedMs: null, outcome: 'unknown', reason: String(error) }); // its next life may send it
      throw error;
    }
  });
}

/** To the business. Resolves when the bus has all. */
export function upstreamByTurns(speakers: readonly Speaker[], options: UpstreamOptions): Promise<TalkCounts> {
  const { kind, orders, keyPrefix, log } = options;
  const numbers = new Map<string, number>();
  return pace(options, async (turn) => {
    const speaker = speakers[turn % speakers.length]!;
    const order = orders === undefined ? null : `${speaker.name}/${Math.floor(turn / speakers.length) % orders}`;
    const place = order ?? speaker.name;
    const number = numbers.get(place) ?? 0;
    numbers.set(place, number + 1);
    const tMs = Date.now();
    const key = `${keyPrefix}-${turn}`;
    const body = { k: key, device: speaker.name, order, number, t: tMs };
    const base = { device: speaker.name, number, order, key, tMs };
    const note = (line: UpstreamLine): void => appendFileSync(log, `${JSON.stringify(line)}\n`);
    try {
      await aliveClient(speaker).send(kind, body, order === null ? {} : { order });
      note({ ...base, takenMs: Date.now() });
    } catch (error) {
      note({ ...base, takenMs: null }); // its next life may send it
      throw error;
    }
  });
}

function aliveClient({ client, name }: Speaker): Client {
  if (client === null) throw new Error(`${name} is crashed`);
  return client;
}

function pace({ count, rate }: TalkOptions, say: (number: number) => Promise<void>): Promise<TalkCounts> {
  const startedAtMs = performance.now();
  let said = 0;
  let taken = 0;
  let failed = 0;
  let lastProblem: string | null = null;
  return new Promise((resolve) => {
    const speak = async (number: number): Promise<void> => {
      try {
        await say(number);
        taken++;
      } catch (error) {
        failed++;
        lastProblem = error instanceof Error ? error.message : String(error);
      }
      if (taken + failed === count) resolve({ said, taken, failed, lastProblem });
    };
    const timer = setInterval(() => {
      const due = Math.min(count, Math.floor(((performance.now() - startedAtMs) * rate) / 1000) + 1);
      while (said < due) void speak(said++);
      if (said === count) clearInterval(timer);
    }, TICK_MS);
  });
}
