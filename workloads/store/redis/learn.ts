// What is asked of a Redis node before it is used: who it is, how it keeps data, its store id; and the scripts are loaded. From
// this comes the life (life.ts). Called by node.ts after each connect and every few seconds.
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { isDurable, isSupported, lifeOf, parseFacts, warningsOf } from './life.ts';
import type { NodeFacts } from './life.ts';
import { FORMAT, STORE_ID } from './scripts/store-id.ts';
import type { Script } from './scripts/script.ts';

/** The node answers, and cannot be a store: wrong password, too old, a replica. */
export class StoreRefusedError extends Error {
  readonly code = 'store-refused';
}

export interface Learned {
  readonly life: string;
  readonly durable: boolean;
  readonly warnings: readonly string[];
}
interface LearnOptions {
  readonly name: string;
  readonly clustered: boolean;
  readonly homeBucket: () => number | null;
  readonly scripts: readonly Script[];
}

/** Learns the node and loads the scripts. Throws StoreRefusedError. */
export async function learnNode(redis: Redis, options: LearnOptions): Promise<Learned> {
  const loads = options.scripts.map((script) => redis.script('LOAD', script.text));
  const [learned] = await Promise.all([relearnLife(redis, options), ...loads]);
  return learned;
}

export async function relearnLife(redis: Redis, options: LearnOptions): Promise<Learned> {
  const [info, config, myId] = await Promise.all([
    redis.info(),
    configOf(redis),
    options.clustered ? redis.call('CLUSTER', 'MYID') : Promise.resolve(options.name),
  ]);
  const facts = parseFacts(info, config);
  if (!isSupported(facts))
    throw new StoreRefusedError(
      `${options.name}: expected Redis 7 or newer, got ${facts.version || 'an unknown version'}`,
    );
  if (facts.role !== 'master') throw new StoreRefusedError(`${options.name}: expected a master, got a ${facts.role}`);
  const id = await storeId(redis, facts, options);
  const store = { id, node: String(myId) };
  return { life: lifeOf(facts, store), durable: isDurable(facts), warnings: warningsOf(facts, options.name) };
}

/** Null: not allowed. */
async function configOf(redis: Redis): Promise<Record<string, string> | null> {
  try {
    const flat = await redis.config(
      'GET',
      'appendonly',
      'appendfsync',
      'no-appendfsync-on-rewrite',
      'maxmemory-policy',
    );
    const config: Record<string, string> = {};
    for (let i = 0; i + 1 < flat.length; i += 2) config[flat[i]!] = flat[i + 1]!;
    return config;
  } catch (error) {
    if (error instanceof Error && /NOPERM|unknown command/i.test(error.message)) return null;
    throw error;
  }
}

async function storeId(redis: Redis, facts: NodeFacts, options: LearnOptions): Promise<string> {
  const bucket = options.homeBucket();
  // A node that holds no bucket holds no stream.
  if (bucket === null) return 'none';
  const fresh = FORMAT + randomBytes(12).toString('base64url');
  const replies = await redis.eval(STORE_ID.text, 1, `{${bucket}}S`, '', '', fresh, facts.promotedFrom ?? '');
  const id = String((replies as unknown[])[0]);
  if (!id.startsWith(FORMAT))
    throw new StoreRefusedError(
      `${options.name}: its data are of another version of PushCluster; expected an empty Redis`,
    );
  return id;
}
