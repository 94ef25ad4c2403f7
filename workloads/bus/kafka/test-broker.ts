// Starts a real Kafka broker for tests: one node (KRaft), a small heap, data in a temporary folder, killed by its pid and gone with the
// test at the latest. The broker is a part of e2e/setup; a start takes about 3 s, or half of it (test-archive.ts). test-cluster.ts starts several as one Kafka.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { lastingPort } from '../../runtime/free-port.ts';

/** A serial collector, one compiler and few threads: 150 MB and 3 s instead of 400 MB and 6 s. */
const JAVA = ['-Xms64m', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
const LOGGED = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.showDateTime=true'];
const START_MS = 60_000;

export interface TestBrokerOptions {
  /** The launcher: findPart('kafka') of e2e/setup/parts.ts. */
  readonly program: string;
  /** Address that it listens on and tells its clients. Default 127.0.0.1. */
  readonly host?: string;
  /** Lines of server.properties on top of the small ones. */
  readonly properties?: readonly string[];
  /** A SCRAM-SHA-512 user, made before the first start. */
  readonly user?: { readonly name: string; readonly password: string };
  /** Which one of several it is. Default: the only one, of a Kafka of its own. */
  readonly node?: TestNode;
}

export interface TestNode {
  readonly id: number;
  readonly clusterId: string;
  readonly port: number;
  readonly controllerPort: number;
  /** All nodes as they vote: id@host:controllerPort, with commas. */
  readonly voters: string;
}

export function newClusterId(): string {
  // Begins with a letter: '-' would be taken for another option.
  return `K${randomBytes(16).toString('base64url').slice(1)}`;
}

export class TestBroker {
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  readonly node: TestNode;
  readonly #program: string;
  #child: ChildProcess | null = null;

  private constructor(options: TestBrokerOptions, node: TestNode) {
    this.host = options.host ?? '127.0.0.1';
    this.port = node.port;
    this.node = node;
    this.dir = mkdtempSync(join(tmpdir(), 'pushcluster-kafka-'));
    this.#program = options.program;
    const lines = propertiesOf(this, options.properties ?? []);
    writeFileSync(join(this.dir, 'server.properties'), `${lines.join('\n')}\n`);
    process.once('exit', this.#killNow);
  }
  readonly #killNow = (): void => {
    this.#child?.kill('SIGKILL');
  };

  static async start(options: TestBrokerOptions): Promise<TestBroker> {
    const broker = await TestBroker.make(options);
    try {
      await broker.start();
      return broker;
    } catch (error) {
      await broker.remove();
      throw error;
    }
  }

  /** One that is not started yet. `like`: another node of the same Kafka, not started yet either; it saves a Java process. */
  static async make(options: TestBrokerOptions, like: TestBroker | null = null): Promise<TestBroker> {
    const broker = new TestBroker(options, options.node ?? (await theOnlyNode(options.host ?? '127.0.0.1')));
    try {
      if (like === null) await broker.#format(options.user);
      else broker.#formatLike(like);
      return broker;
    } catch (error) {
      await broker.remove();
      throw error;
    }
  }

  get url(): string {
    return `kafka://${this.host}:${this.port}`;
  }
  get brokers(): readonly string[] {
    return [`${this.host}:${this.port}`];
  }
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it, again on the same data and port; resolves when it takes connections. `options` are for Java. */
  async start(options: readonly string[] = archived(this.#program)): Promise<void> {
    const child = this.#run([...JAVA, ...options, 'kafka.Kafka', join(this.dir, 'server.properties')]);
    this.#child = child;
    const deadline = Date.now() + START_MS;
    while (!(await answers(this.host, this.port))) {
      if (child.exitCode !== null) throw new Error(`the broker ended (exit ${child.exitCode}): ${this.#lastLines()}`);
      if (Date.now() > deadline) throw new Error(`the broker did not start in ${START_MS} ms: ${this.#lastLines()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  /** SIGKILL, or SIGTERM for an orderly end; resolves when it is gone. */
  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('close', resolve));
    child.kill(signal);
    await gone;
  }

  async remove(): Promise<void> {
    await this.kill();
    process.removeListener('exit', this.#killNow);
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #format(user: TestBrokerOptions['user']): Promise<void> {
    const config = join(this.dir, 'server.properties');
    const words = ['kafka.tools.StorageTool', 'format', '-t', this.node.clusterId, '-c', config];
    if (user !== undefined) words.push('--add-scram', `SCRAM-SHA-512=[name=${user.name},password=${user.password}]`);
    const child = this.#run(['-XX:TieredStopAtLevel=1', ...words]);
    const code = await new Promise((resolve) => child.once('close', resolve));
    if (code !== 0)
      throw new Error(`formatting the broker's folder failed (exit ${String(code)}): ${this.#lastLines()}`);
  }

  /** The same but for who it is. */
  #formatLike(other: TestBroker): void {
    const [from, to] = [join(other.dir, 'data'), join(this.dir, 'data')];
    mkdirSync(to);
    copyFileSync(join(from, 'bootstrap.checkpoint'), join(to, 'bootstrap.checkpoint'));
    const lines = readFileSync(join(from, 'meta.properties'), 'utf8')
      .replace(/^node\.id=.*$/m, `node.id=${this.node.id}`)
      .replace(/^directory\.id=.*$/m, `directory.id=${newClusterId()}`);
    writeFileSync(join(to, 'meta.properties'), lines);
  }

  #run(words: readonly string[]): ChildProcess {
    const log = openSync(join(this.dir, 'log'), 'a');
    const child = spawn(this.#program, [...LOGGED, ...words], { stdio: ['ignore', log, log] });
    closeSync(log);
    return child;
  }

  #lastLines(): string {
    return readFileSync(join(this.dir, 'log'), 'utf8').trimEnd().split('\n').slice(-15).join('\n');
  }
}

/** Where test-archive.ts keeps a broker's classes as Java has loaded them: beside the jars that they are of. */
export function archiveOf(program: string): string {
  return join(dirname(program), 'broker.jsa');
}
/** A start takes half as long with it. Java passes over one of another version. */
function archived(program: string): readonly string[] {
  const archive = archiveOf(program);
  return existsSync(archive) ? [`-XX:SharedArchiveFile=${archive}`] : [];
}

async function theOnlyNode(host: string): Promise<TestNode> {
  const [port, controllerPort] = [await lastingPort(host), await lastingPort(host)];
  return { id: 1, clusterId: newClusterId(), port, controllerPort, voters: `1@${host}:${controllerPort}` };
}

function propertiesOf({ host, port, dir, node }: TestBroker, more: readonly string[]): readonly string[] {
  return [
    'process.roles=broker,controller',
    `node.id=${node.id}`,
    `controller.quorum.voters=${node.voters}`,
    `listeners=PLAINTEXT://${host}:${port},CONTROLLER://${host}:${node.controllerPort}`,
    `advertised.listeners=PLAINTEXT://${host}:${port}`,
    'controller.listener.names=CONTROLLER',
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    `log.dirs=${join(dir, 'data')}`,
    'auto.create.topics.enable=false',
    'offsets.topic.replication.factor=1',
    'offsets.topic.num.partitions=4',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'transaction.state.log.num.partitions=2',
    'share.coordinator.state.topic.replication.factor=1',
    'share.coordinator.state.topic.min.isr=1',
    'group.initial.rebalance.delay.ms=0',
    'group.min.session.timeout.ms=1000',
    // A broker that was killed is let in again only when its life before has run out.
    'broker.session.timeout.ms=1500',
    'broker.heartbeat.interval.ms=300',
    'log.cleaner.dedupe.buffer.size=4194304',
    'num.network.threads=2',
    'num.io.threads=2',
    'background.threads=2',
    'num.recovery.threads.per.data.dir=1',
    ...more,
  ];
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
