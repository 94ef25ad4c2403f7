// The upstream role from settings to running: messages of clients from the bus to the handlers that the rules name. main.ts and the embedded
// process call startUpstream. It holds nothing of its own: any number of them share the partitions, and one that ends leaves what it has
// not settled to the others. Path: bus → memory-gate → batch (order, retries) → lane → handlers/*; what fails for good → dead-letters.
import { randomBytes } from 'node:crypto';
import { BUS_TOPICS } from '../bus/port.ts';
import type { Bus, BusConsumer } from '../bus/port.ts';
import { startAdminHttp } from '../runtime/admin-http.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Keys } from '../runtime/credentials.ts';
import type { HttpServer } from '../runtime/http.ts';
import type { Log } from '../runtime/log.ts';
import type { RunningRole } from '../runtime/role.ts';
import { openPoster } from '../runtime/signed-post.ts';
import type { SettingsOf } from '../settings/setting.ts';
import type { upstreamSettings } from '../settings/upstream.ts';
import type { Store } from '../store/port.ts';
import { adminRoutes } from './admin.ts';
import { BatchWork } from './batch.ts';
import { Claims } from './claims.ts';
import { UpstreamCounts } from './counts.ts';
import { DeadLetters } from './dead-letters.ts';
import { openLanes } from './handlers/open.ts';
import { watchLag } from './lag-watch.ts';
import type { LagWatch } from './lag-watch.ts';
import type { Lane } from './lane.ts';
import { MemoryGate } from './memory-gate.ts';
import { openMetrics } from './metrics.ts';
import { RouterLink } from './router-link.ts';
import { parseRules } from './rules.ts';

export type UpstreamSettings = SettingsOf<typeof upstreamSettings>;

export interface UpstreamDeps {
  /** Store and bus stay their opener's to close. */
  readonly store: Store;
  readonly bus: Bus;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** Memory in use; default: this process's resident set. */
  readonly memoryBytes?: () => number;
}

/** Members of it share the upstream topic. */
export const UPSTREAM_GROUP = 'upstream';

/**
 * Starts the role; resolves when its port listens. A bus or a handler that is away is no error: messages wait.
 * Rejects with InvalidRulesError or DatabaseAddressError, or when the port is taken.
 */
export async function startUpstream(settings: UpstreamSettings, deps: UpstreamDeps): Promise<RunningRole> {
  const running = new RunningUpstream(settings, deps);
  try {
    await running.open();
    return running;
  } catch (error) {
    running.kill();
    throw error;
  }
}

class RunningUpstream implements RunningRole {
  readonly #settings: UpstreamSettings;
  readonly #deps: UpstreamDeps;
  readonly #counts = new UpstreamCounts();
  readonly #router: RouterLink;
  readonly #lanes: readonly Lane[];
  readonly #work: BatchWork;
  readonly #gate: MemoryGate;
  readonly #deadLetters: DeadLetters;
  #lag: LagWatch | null = null;
  #consumer: BusConsumer | null = null;
  #admin: HttpServer | null = null;
  #stopping: Promise<void> | null = null;

  constructor(settings: UpstreamSettings, deps: UpstreamDeps) {
    const { store, keys, clock, log, random, bus } = deps;
    const life = randomBytes(6).toString('hex');
    const timeoutMs = settings.handlerTimeoutMs;
    const rules = parseRules(settings.handlers);
    this.#settings = settings;
    this.#deps = deps;
    const name = `upstream-${life}`;
    this.#router = new RouterLink({ store, keys: () => keys.current().link, name, timeoutMs, clock, log, random });
    this.#lanes = openLanes(rules, {
      databaseUrl: settings.database,
      timeoutMs,
      concurrency: settings.concurrencyMax,
      router: this.#router,
      claims: new Claims(store, clock),
      post: openPoster({ keys: () => keys.current().webhook, allowPrivate: settings.webhookPrivate === 'true', clock }),
      clock,
      log,
    });
    const { attemptsMax, backoffMs, holdMs } = settings;
    const lanes = this.#lanes;
    this.#work = new BatchWork({
      bus,
      rules,
      lanes,
      counts: this.#counts,
      clock,
      log,
      random,
      attemptsMax,
      backoffMs,
      holdMs,
    });
    const bytes = deps.memoryBytes ?? (() => process.memoryUsage.rss());
    this.#gate = new MemoryGate({ bytesMax: settings.memoryBytesMax, bytes, clock, log });
    this.#deadLetters = new DeadLetters({ bus, life, clock, log, counts: this.#counts });
  }

  get ports(): Readonly<Record<string, number>> {
    return { admin: this.#admin?.port ?? 0 };
  }

  async open(): Promise<void> {
    const { bus, clock, log, keys } = this.#deps;
    const { bind, adminPort } = this.#settings;
    const topics = [
      { group: UPSTREAM_GROUP, topic: BUS_TOPICS.upstream },
      { group: this.#deadLetters.group, topic: BUS_TOPICS.upstreamDead },
    ];
    this.#lag = watchLag(topics, { bus, clock, log });
    this.#admin = await startAdminHttp({
      bind,
      port: adminPort,
      log,
      registry: openMetrics({ counts: this.#counts, deadLetters: this.#deadLetters, lag: this.#lag, gate: this.#gate }),
      readiness: () => ({ ready: this.#consumer !== null && this.#stopping === null, details: this.#describe() }),
      routes: adminRoutes(this.#deadLetters),
      secrets: () => keys.current().admin,
    });
    await this.#deadLetters.start();
    this.#consumer = await bus.consume({
      topics: [BUS_TOPICS.upstream],
      group: UPSTREAM_GROUP,
      handler: async (batch) => {
        await this.#gate.pass();
        await this.#work.handleBatch(batch);
      },
    });
    log.info({ admin: this.#admin.port, handlers: this.#lanes.length }, 'upstream started');
  }

  /** For people who ask /readyz; neither the bus nor a handler makes it less ready, or one outage would restart them all. */
  #describe(): Readonly<Record<string, unknown>> {
    const { reachable, problem } = this.#deps.bus.health();
    return {
      bus: problem ?? (reachable ? 'reachable' : 'unreachable'),
      lag: Object.fromEntries((this.#lag?.known() ?? []).map(({ topic, records }) => [topic, records])),
      inHand: this.#counts.inHand,
      deadLetters: this.#deadLetters.size,
      redriving: this.#deadLetters.redriving,
      paused: this.#gate.isClosed,
      stopping: this.#stopping !== null,
    };
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#end();
    await this.#leave();
    this.#router.stop();
    await Promise.all([...new Set(this.#lanes)].map((lane) => lane.close()));
    await this.#admin?.close(0);
  }

  kill(): void {
    this.#stopping ??= Promise.resolve();
    this.#end();
    this.#admin?.kill();
    this.#router.stop();
    // Without waiting for what is under way: the bus hands it again.
    const lanes = [...new Set(this.#lanes)];
    Promise.all([this.#leave(), ...lanes.map((lane) => lane.close())]).catch((error: unknown) =>
      this.#deps.log.debug({ problem: String(error) }, 'ending after a kill failed'),
    );
  }

  async #leave(): Promise<void> {
    await this.#consumer?.stop();
    await this.#deadLetters.stop();
  }

  #end(): void {
    this.#work.stop();
    this.#gate.stop();
    this.#lag?.stop();
  }
}
