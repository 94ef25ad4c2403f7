// The memory at which a role takes in less (B8), from the limit of its container: roles cannot know what their pod was given, and the
// settings' own defaults are a guess. gateway.ts, router.ts and upstream.ts name the setting. Pure.
import { isRow } from '../kube/fields.ts';
import { parseQuantity } from '../quantity.ts';
import type { JsonObject, PodShape } from '../spec.ts';

/**
 * Of the limit. The rest is for what resident memory does not count and the kernel does (socket buffers, pages of the code), and for
 * the steps beyond the first: a router refuses durable messages at 88 %.
 */
const SHARE = 0.8;
/** What the settings take: 1 MiB to 64 GiB, more than one process fills. */
const BYTES_MIN = 1_048_576;
const BYTES_MAX = 68_719_476_736;

/** The setting and its value; nothing where no limit is set, so that the role's own default holds. */
export function memoryEnv(setting: string, shape: PodShape, container: string): Readonly<Record<string, string>> {
  const limit = memoryLimitBytes(shape, container);
  if (limit === null) return {};
  return { [setting]: String(Math.min(BYTES_MAX, Math.max(BYTES_MIN, Math.floor(limit * SHARE)))) };
}

/** The container's memory limit in bytes, the overlay's before that of `resources`; null: none, which 0 means too. */
function memoryLimitBytes({ resources, podTemplate }: PodShape, container: string): number | null {
  const own = fieldOf(podTemplate, ['spec', 'containers']);
  const overlay: unknown = Array.isArray(own)
    ? own.find((item: unknown) => isRow(item) && item['name'] === container)
    : undefined;
  const given = fieldOf(overlay, ['resources', 'limits', 'memory']) ?? fieldOf(resources, ['limits', 'memory']);
  const bytes = parseQuantity(given);
  return bytes === 0 ? null : bytes;
}

function fieldOf(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, name) => (isRow(at) ? (at as JsonObject)[name] : undefined), value);
}
