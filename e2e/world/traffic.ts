// Clients that receive while a business publishes: the load under which scenarios break things, and the reckoning afterwards, record by record:
// what the publishers were told is accepted against each client's own log of what its application was given.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../cluster/wait.ts';
import type { FleetCounts } from '../fleet/clients.ts';
import type { PublishCounts, PublishedLine, PublishTarget } from '../fleet/publish.ts';
import { compareLogs } from '../fleet/report.ts';
import { spawnPublisher } from '../fleet/spawned.ts';
import type { SpawnedPublisher } from '../fleet/spawned.ts';
import { describeCounts, startFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import { sumOverGateways } from './gateway-metrics.ts';
import { assertNothingLost, movesBetween, printReckoning, reconnectsOf } from './reckoning.ts';
import type { Moves } from './reckoning.ts';
import type { Stage } from './stage.ts';

export interface TrafficOptions {
  readonly clients: number;
  /** Durable pushes to single devices, in turn; besides them one broadcast a second goes to all. 0: nothing by itself. */
  readonly pushesPerSecond: number;
  /** Before the number in each device's name; different for each fleet of an app. */
  readonly devices?: string;
}
export interface TrafficResult extends Moves {
  /** Durable deliveries, each counted once. */
  readonly delivered: number;
  /** The longest from a push's first try to a client's application, ms. */
  readonly longestMs: number;
}

interface Publishing {
  readonly process: SpawnedPublisher;
  readonly log: string;
  /** Deliveries that each accepted publication owes. */
  readonly hearers: number;
}

let fleets = 0;

/** Starts clients, waits until all are live and subscribed, then begins to publish. */
export async function startTraffic(stage: Stage, options: TrafficOptions): Promise<Traffic> {
  const devices = `${options.devices ?? `fleet${++fleets}`}-`;
  const topic = `${devices}news`;
  const fleet = await startFleet(stage, { clients: options.clients, devices, topics: [topic] });
  const traffic = new Traffic(stage, fleet, { devices, topic, before: await fleet.counts() });
  if (options.pushesPerSecond > 0) {
    await traffic.publishToEach({ rate: options.pushesPerSecond });
    await traffic.broadcast({ rate: 1 });
  }
  return traffic;
}

/** With `count` publishing ends by itself, else with the traffic. */
interface Pace {
  readonly rate: number;
  readonly count?: number;
}

export class Traffic {
  readonly #stage: Stage;
  readonly #fleet: Fleet;
  readonly #devices: string;
  readonly #topic: string;
  readonly #before: readonly FleetCounts[];
  readonly #publishing: Publishing[] = [];
  /** Once publishing has ended. */
  #outcomes: readonly PublishCounts[] | null = null;

  constructor(
    stage: Stage,
    fleet: Fleet,
    more: { readonly devices: string; readonly topic: string; readonly before: readonly FleetCounts[] },
  ) {
    this.#stage = stage;
    this.#fleet = fleet;
    this.#devices = more.devices;
    this.#topic = more.topic;
    this.#before = more.before;
  }

  // ---- what the business does

  /** Pushes to one device after the other, round and round. */
  async publishToEach(pace: Pace): Promise<void> {
    await this.#publish({ devices: { prefix: this.#devices, first: 0, count: this.#fleet.clients } }, pace);
  }
  /** Broadcasts on the topic that every client hears. */
  async broadcast(pace: Pace): Promise<void> {
    await this.#publish({ topic: this.#topic }, pace);
  }

  async #publish(target: PublishTarget, pace: Pace): Promise<void> {
    const number = this.#publishing.length;
    const log = join(this.#fleet.logs, `published-${number}.jsonl`);
    const { routerUrl: url, app } = this.#stage;
    const keyPrefix = `${this.#devices}${number}`;
    const process = await spawnPublisher({ url, apiKey: app.apiKey, targets: [target], log, keyPrefix, ...pace });
    this.#stage.running.add(process.pid);
    this.#publishing.push({ process, log, hearers: 'devices' in target ? 1 : this.#fleet.clients });
  }

  /** Waits until publishers with a count are through. */
  async whenPublished(): Promise<void> {
    await Promise.all(this.#publishing.map(async ({ process }) => await process.wait()));
  }

  /** Waits until so many more pushes were accepted. */
  async whenAccepted(more: number): Promise<void> {
    const accepted = async (): Promise<number> =>
      (await this.#counts()).reduce((sum, count) => sum + count.accepted, 0);
    const before = await accepted();
    const look = async (): Promise<true> => {
      const now = (await accepted()) - before;
      if (now >= more) return true;
      throw new Error(`${now} so far; ${JSON.stringify(await this.#counts())}`);
    };
    await waitFor(`${more} more pushes to be accepted`, look, { timeoutMs: 90_000, intervalMs: 100 });
  }

  /** The longest time since then in which no push was accepted, ms. */
  longestSilenceMs(sinceMs: number): number {
    const times = this.#publishing
      .flatMap(({ log }) => readLines(log))
      .flatMap(({ acceptedMs }) => (acceptedMs !== null && acceptedMs >= sinceMs ? [acceptedMs] : []))
      .toSorted((a, b) => a - b);
    return times.reduce((longest, at, i) => Math.max(longest, at - (times[i - 1] ?? sinceMs)), 0);
  }

  // ---- what the clients see

  async connectionsByGateway(): Promise<Readonly<Record<string, number>>> {
    const sum: Record<string, number> = {};
    for (const { gateways } of await this.#fleet.counts())
      for (const [gateway, count] of Object.entries(gateways)) sum[gateway] = (sum[gateway] ?? 0) + count;
    return sum;
  }

  /** Waits until so many clients have stood on another connection since then and all are live; returns when the last one did. */
  async whenAllBack(sinceMs: number, expected: number): Promise<number> {
    const look = async (): Promise<number> => {
      const all = await this.#fleet.counts();
      const moves = reconnectsOf(all).filter((atMs) => atMs >= sinceMs);
      if (moves.length >= expected && all.every(({ states, clients }) => states.live === clients))
        return moves.at(-1) ?? sinceMs;
      throw new Error(`${moves.length} of ${expected} are back; ${describeCounts(all)}`);
    };
    return await waitFor('all clients to be back', look, { timeoutMs: 90_000, intervalMs: 100 });
  }

  /** Waits until everything accepted is with the clients, and then until the gateways wait for no ack. */
  async whenAllDelivered(): Promise<void> {
    const isAllThere = async (): Promise<true> => {
      const counts = await this.#counts();
      const owed = this.#publishing.reduce((sum, { hearers }, i) => sum + (counts[i]?.accepted ?? 0) * hearers, 0);
      const all = await this.#fleet.counts();
      const received = all.reduce((sum, count) => sum + count.received, 0);
      if (received >= owed) return true;
      throw new Error(`${received} of ${owed}; ${describeCounts(all)}`);
    };
    await waitFor('everything accepted to be delivered', isAllThere, { timeoutMs: 60_000, intervalMs: 200 });
    const isAcked = async (): Promise<true> => {
      const unacked = await sumOverGateways(this.#stage, 'unacked');
      if (unacked === 0) return true;
      throw new Error(`${unacked} deliveries wait for their acks`);
    };
    await waitFor('everything delivered to be acked', isAcked, { timeoutMs: 30_000, intervalMs: 200 });
  }

  // ---- the end

  /** Ends publishing, waits for what is owed, compares record by record, prints, and demands: nothing lost, doubled, out of order. */
  async stop(what: string): Promise<TrafficResult> {
    this.#outcomes = await this.#endPublishing();
    const late = await this.whenAllDelivered().catch((error: unknown) => error); // what is lost is said below, by name
    const after = await this.#fleet.counts();
    await this.#fleet.flush();
    const { logs, clients } = this.#fleet;
    const compared = compareLogs({ clients: logs, publishers: this.#publishing.map(({ log }) => log) });
    printReckoning(what, clients, { compared, published: this.#outcomes });
    await this.#fleet.stop();
    assertNothingLost(what, compared, `${JSON.stringify(this.#outcomes)}; ${describeCounts(after)}`);
    if (late !== undefined) throw late;
    for (const { refused, unknown, lastProblem } of this.#outcomes)
      assert.equal(refused + unknown, 0, `${what}: pushes without a good outcome, last ${lastProblem ?? ''}`);
    rmSync(logs, { recursive: true, force: true });
    const { delivered, maxMs } = compared;
    return { ...movesBetween(this.#before, after), delivered, longestMs: maxMs ?? 0 };
  }

  /** Lets go of everything without a reckoning, for clients whose cluster is gone. */
  async abandon(): Promise<void> {
    this.#outcomes = await this.#endPublishing();
    await this.#fleet.stop();
    rmSync(this.#fleet.logs, { recursive: true, force: true });
  }

  async #endPublishing(): Promise<readonly PublishCounts[]> {
    const stopped = await Promise.all(this.#publishing.map(async ({ process }) => await process.stop()));
    for (const { process } of this.#publishing) this.#stage.running.delete(process.pid);
    return stopped;
  }
  async #counts(): Promise<readonly PublishCounts[]> {
    return this.#outcomes ?? (await Promise.all(this.#publishing.map(async ({ process }) => await process.counts())));
  }
}

function readLines(file: string): readonly PublishedLine[] {
  const rows = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return rows.map((row) => JSON.parse(row) as PublishedLine);
}
