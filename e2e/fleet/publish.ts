// Publishes at a rate and logs every accepted id with its recipient and time; what has no known outcome is sent again with the same key until
// it has one. publisher.ts is the process around it; embedded scenarios use it directly.
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Attributes, Published } from './compare.ts';
import { deviceName } from './names.ts';
import type { DeviceRange } from './names.ts';
import { openPushApi } from './push-api.ts';
import type { MessageWishes, PushApi, Publication } from './push-api.ts';

export interface PublishOptions {
  /** The router's. */
  readonly url: string;
  readonly apiKey: string;
  /** Publications go to these in turn: each device of a range by itself, a list of devices, a group (whose members' devices are named), a topic, everyone. */
  readonly targets: readonly PublishTarget[];
  readonly class?: 'durable' | 'live';
  /** What each publication says besides; of `attributes` each has one in turn. */
  readonly message?: MessageWishes & { readonly attributes?: readonly Attributes[] };
  /** Every so many-th publication is poison to the fleet's applications (behaviour.ts). */
  readonly poisonEvery?: number;
  /** Publications per second over all targets. */
  readonly rate: number;
  /** Publications in all; left out: until `finish`. */
  readonly count?: number;
  /** File of the log, JSON lines; written anew. */
  readonly log: string;
  /** Bytes of filling in each body. Default 60: about 100 bytes with the rest. */
  readonly bodyBytes?: number;
  /** Requests under way at once. Default 64; more wait, and their time counts. */
  readonly inFlightMax?: number;
  /** One request may take this long before its outcome is unknown. Default 5,000. */
  readonly timeoutMs?: number;
  /** What has no outcome after this is given up as unknown. Default 120,000. */
  readonly giveUpMs?: number;
  /** Start of the keys; different for each publisher of an app. */
  readonly keyPrefix: string;
}
export type PublishTarget =
  /** Each device by itself, in turn. */
  | { readonly devices: DeviceRange }
  /** All of them in one request. */
  | { readonly list: DeviceRange }
  | { readonly group: string; readonly list: DeviceRange }
  | { readonly account: string }
  | { readonly topic: string }
  | { readonly everyone: true };

export interface PublishCounts {
  readonly sent: number;
  readonly accepted: number;
  readonly refused: number;
  /** Given up without an outcome. */
  readonly unknown: number;
  /** Sendings beyond the first. */
  readonly retries: number;
  readonly inFlight: number;
  readonly lastProblem: string | null;
}
export interface Publisher {
  counts(): PublishCounts;
  /** Resolves when `count` publications have an outcome. */
  readonly done: Promise<void>;
  /** Nothing new from now on; resolves when everything has an outcome and the log is complete. */
  finish(): Promise<PublishCounts>;
}

/** A line of the log. `accepted` ones are what compare.ts takes. */
export interface PublishedLine extends Omit<Published, 'id' | 'key'> {
  readonly key: string;
  readonly outcome: 'accepted' | 'refused' | 'unknown';
  readonly id: string | null;
  readonly acceptedMs: number | null;
  readonly attempts: number;
  readonly reason?: string;
}

const TICK_MS = 10;
const RETRY_MAX_MS = 2000;

/** Begins at once. */
export function startPublisher(options: PublishOptions): Publisher {
  const { url, apiKey, timeoutMs = 5000, inFlightMax = 64 } = options;
  return new PacedPublisher(options, openPushApi({ url, apiKey, timeoutMs, connections: inFlightMax }));
}

class PacedPublisher implements Publisher {
  readonly done: Promise<void>;
  readonly #options: PublishOptions;
  readonly #api: PushApi;
  readonly #fd: number;
  readonly #turns: readonly (() => Pick<Publication, 'to' | 'group'>)[];
  readonly #filling: string;
  readonly #startedAtMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  #finished!: () => void;
  #sent = 0;
  #inFlight = 0;
  #stopping = false;
  #ended = false;
  #counts = { accepted: 0, refused: 0, unknown: 0, retries: 0 };
  #lastProblem: string | null = null;

  constructor(options: PublishOptions, api: PushApi) {
    this.#options = options;
    this.#api = api;
    this.#fd = openSync(options.log, 'w');
    this.#turns = options.targets.map(turnOf);
    this.#filling = 'x'.repeat(options.bodyBytes ?? 60);
    this.done = new Promise((resolve) => {
      this.#finished = resolve;
    });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  counts(): PublishCounts {
    return { sent: this.#sent, inFlight: this.#inFlight, lastProblem: this.#lastProblem, ...this.#counts };
  }

  async finish(): Promise<PublishCounts> {
    this.#stopping = true;
    this.#tick();
    await this.done;
    return this.counts();
  }

  #tick(): void {
    const { rate, count = Infinity, inFlightMax = 64 } = this.#options;
    const due = Math.min(count, Math.floor(((performance.now() - this.#startedAtMs) * rate) / 1000));
    while (!this.#stopping && this.#sent < due && this.#inFlight < inFlightMax) void this.#publish(this.#sent++);
    if ((this.#stopping || this.#sent >= count) && this.#inFlight === 0) this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#timer);
    this.#api.close();
    closeSync(this.#fd);
    this.#finished();
  }

  async #publish(number: number): Promise<void> {
    this.#inFlight++;
    const tMs = Date.now();
    const publication = this.#compose(number, tMs);
    const line = await this.#untilKnown(publication, tMs);
    writeSync(this.#fd, `${JSON.stringify(line)}\n`);
    this.#counts[line.outcome]++;
    this.#inFlight--;
    this.#tick();
  }

  #compose(number: number, tMs: number): Publication {
    const { keyPrefix, class: deliveryClass = 'durable', message = {}, poisonEvery } = this.#options;
    const { attributes: all = [], ...wishes } = message;
    const key = `${keyPrefix}-${number}`;
    const attributes = all[number % Math.max(1, all.length)];
    const isPoison = poisonEvery !== undefined && number % poisonEvery === poisonEvery - 1;
    return {
      key,
      ...this.#turns[number % this.#turns.length]!(),
      class: deliveryClass,
      ...wishes,
      ...(attributes === undefined ? {} : { attributes }),
      body: { k: key, n: number, t: tMs, ...(isPoison ? { poison: true } : {}), filling: this.#filling },
    };
  }

  async #untilKnown(publication: Publication, tMs: number): Promise<PublishedLine> {
    const { key, to, attributes } = publication;
    const base = { key, to, class: publication.class, tMs, ...(attributes === undefined ? {} : { attributes }) };
    const giveUpAtMs = tMs + (this.#options.giveUpMs ?? 120_000);
    for (let attempts = 1; ; attempts++) {
      const outcome = await this.#api.push(publication);
      if (outcome.kind === 'accepted')
        return { ...base, outcome: 'accepted', id: outcome.id, acceptedMs: Date.now(), attempts };
      this.#lastProblem = outcome.reason;
      const failed = { ...base, id: null, acceptedMs: null, attempts, reason: outcome.reason };
      if (outcome.kind === 'refused') return { ...failed, outcome: 'refused' };
      // Live messages have no key: sent again they could come twice.
      if (publication.class === 'live' || Date.now() >= giveUpAtMs) return { ...failed, outcome: 'unknown' };
      this.#counts.retries++;
      await new Promise((resolve) => setTimeout(resolve, Math.min(outcome.retryAfterMs, RETRY_MAX_MS)));
    }
  }
}

function turnOf(target: PublishTarget): () => Pick<Publication, 'to' | 'group'> {
  if ('group' in target) return () => ({ to: { list: target.list }, group: target.group });
  if (!('devices' in target)) return () => ({ to: target });
  const { first, count, prefix } = target.devices;
  let turn = 0;
  return () => ({ to: { device: deviceName(first + (turn++ % count), prefix) } });
}
