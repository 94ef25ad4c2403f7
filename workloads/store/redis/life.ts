// Decides in which life a Redis node is (R3), pure: from what it says about itself. The same life means that nothing it
// acknowledged was lost. node.ts asks after each connect and every few seconds; appends carry the life, and one whose stream was
// last written in another life opens a new epoch.
import { createHash } from 'node:crypto';

/** What a node says about itself. */
export interface NodeFacts {
  readonly version: string;
  readonly runId: string;
  readonly role: string;
  readonly replicationId: string;
  /** The replication id before a promotion, or null when it was never promoted since it started. */
  readonly promotedFrom: string | null;
  /** Null: CONFIG is not allowed. */
  readonly config: Readonly<Record<string, string>> | null;
  readonly replicas: number;
}

const NEVER = /^0*$/;

/** Facts from the text of INFO and the answer of CONFIG GET. */
export function parseFacts(info: string, config: Readonly<Record<string, string>> | null): NodeFacts {
  const fields = new Map(
    info
      .split(/\r?\n/)
      .map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
  const field = (name: string): string => fields.get(name) ?? '';
  const promotedFrom = field('master_replid2');
  return {
    version: field('redis_version'),
    runId: field('run_id'),
    role: field('role'),
    replicationId: field('master_replid'),
    promotedFrom: NEVER.test(promotedFrom) ? null : promotedFrom,
    config,
    replicas: Number(field('connected_slaves') || 0),
  };
}

/** Whether an acknowledged write is on the disk: only then does a restart lose nothing. */
export function isDurable(facts: NodeFacts): boolean {
  const config = facts.config;
  return (
    config?.['appendonly'] === 'yes' &&
    config['appendfsync'] === 'always' &&
    config['no-appendfsync-on-rewrite'] !== 'yes'
  );
}

/**
 * The name of the life, 8 characters: of the data when writes are durable (a restart goes on), else of this run of the process.
 * @param store `id` names the data (a promoted node gets a new one), `node` the node (its id in a Cluster, else its address)
 */
export function lifeOf(facts: NodeFacts, store: { readonly id: string; readonly node: string }): string {
  const text = isDurable(facts) ? `fsync:${store.id}:${store.node}` : `run:${facts.runId}:${facts.replicationId}`;
  return createHash('sha256').update(text).digest('base64url').slice(0, 8);
}

/** Whether the version has what the scripts need: their flags came with Redis 7. */
export function isSupported(facts: NodeFacts): boolean {
  return Number(facts.version.split('.')[0]) >= 7;
}

/** What must be put right at a node, in words. */
export function warningsOf(facts: NodeFacts, node: string): readonly string[] {
  const { config } = facts;
  if (config === null)
    return [`${node}: CONFIG GET is not allowed, so durability is unknown: each restart of it opens new epochs`];
  const warnings: string[] = [];
  const policy = config['maxmemory-policy'] ?? 'unknown';
  if (policy !== 'noeviction')
    warnings.push(`${node}: maxmemory-policy is ${policy}; expected noeviction, or a full Redis drops messages`);
  if (config['appendonly'] !== 'yes') {
    warnings.push(`${node}: appendonly is off; expected yes, or a restart loses what came after the last snapshot`);
  } else if (config['appendfsync'] !== 'always') {
    warnings.push(
      `${node}: appendfsync is ${config['appendfsync']}; expected always, or a crash can lose acknowledged messages`,
    );
  } else if (config['no-appendfsync-on-rewrite'] === 'yes') {
    warnings.push(
      `${node}: no-appendfsync-on-rewrite is yes; expected no, or a crash in a rewrite can lose acknowledged messages`,
    );
  }
  return warnings;
}
