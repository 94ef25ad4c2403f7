// How lists and maps inside Kubernetes objects are merged and compared: which lists are maps by a key, which are sets, which are
// taken whole. Pure. kube/memory.ts merges with it as server-side apply does; drift.ts compares with it.

type Row = Record<string, unknown>;

/** Lists whose items are told apart by a field (as their OpenAPI schemas have it); every other list is taken whole. */
const LIST_KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  volumes: ['name'],
  env: ['name'],
  volumeMounts: ['mountPath'],
  ports: ['containerPort', 'port', 'protocol'],
  ownerReferences: ['uid'],
  conditions: ['type'],
  imagePullSecrets: ['name'],
  topologySpreadConstraints: ['topologyKey', 'whenUnsatisfiable'],
};
const SETS = new Set(['finalizers']);

export function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Key of a list's item within the list in `field`; null when the list is taken whole. */
export function listItemKey(field: string, item: unknown): string | null {
  if (SETS.has(field)) return typeof item === 'string' ? item : null;
  const names = LIST_KEYS[field];
  if (names === undefined || !isRow(item)) return null;
  const parts = names.map((name) => (name === 'protocol' ? (item[name] ?? 'TCP') : item[name]));
  return parts.every((part) => part === undefined) ? null : JSON.stringify(parts);
}

/** Whether a list is merged item by item. */
function isKeyed(field: string, list: readonly unknown[]): boolean {
  return (field in LIST_KEYS || SETS.has(field)) && list.every((item) => listItemKey(field, item) !== null);
}

/** Paths of all leaves that a value sets; each path is its segments joined by a NUL. */
export function fieldPaths(value: unknown, field = '', prefix = ''): Set<string> {
  const out = new Set<string>();
  const walk = (inner: unknown, segment: string, name: string): void => {
    for (const path of fieldPaths(inner, name, `${prefix}\0${segment}`)) out.add(path);
  };
  if (isRow(value) && Object.keys(value).length > 0) {
    for (const [key, inner] of Object.entries(value)) walk(inner, `.${key}`, key);
  } else if (Array.isArray(value) && value.length > 0 && isKeyed(field, value)) {
    for (const item of value as unknown[]) walk(item, `[${listItemKey(field, item)}`, '');
  } else {
    out.add(prefix);
  }
  return out;
}

/** `live` with what is in `applied` laid over it; neither is changed. */
export function mergeFields(live: unknown, applied: unknown, field = ''): unknown {
  if (isRow(live) && isRow(applied)) {
    const out: Row = { ...live };
    for (const [key, value] of Object.entries(applied)) out[key] = mergeFields(live[key], value, key);
    return out;
  }
  if (Array.isArray(live) && Array.isArray(applied) && isKeyed(field, applied) && isKeyed(field, live))
    return mergeLists(live, applied, field);
  return structuredClone(applied);
}

function mergeLists(live: readonly unknown[], applied: readonly unknown[], field: string): unknown[] {
  const given = new Map(applied.map((item) => [listItemKey(field, item), item]));
  const out = live.map((item) => {
    const key = listItemKey(field, item);
    const over = given.get(key);
    given.delete(key);
    return over === undefined ? item : mergeFields(item, over, '');
  });
  return [...out, ...structuredClone([...given.values()])];
}

/** `root` without the leaf at a path of fieldPaths; containers that become empty by it go too. `root` is not changed. */
export function withoutPath(root: unknown, path: string): unknown {
  return strip(root, path.split('\0').slice(1), '');
}

function strip(value: unknown, segments: readonly string[], field: string): unknown {
  const [head, ...rest] = segments;
  if (head === undefined) return undefined;
  if (head.startsWith('.') && isRow(value)) {
    const key = head.slice(1);
    if (!(key in value)) return value;
    const { [key]: inner, ...others } = value;
    const left = strip(inner, rest, key);
    const out = left === undefined ? others : { ...value, [key]: left };
    return Object.keys(out).length === 0 ? undefined : out;
  }
  if (head.startsWith('[') && Array.isArray(value)) {
    const out = value
      .map((item: unknown) => (`[${listItemKey(field, item)}` === head ? stripItem(item, rest) : item))
      .filter((item) => item !== undefined);
    return out.length === 0 ? undefined : out;
  }
  return value;
}

/** An item of a keyed list goes when nothing but its key is left. */
function stripItem(item: unknown, rest: readonly string[]): unknown {
  if (rest.length === 0) return undefined;
  return strip(item, rest, '');
}

/** Whether two JSON values are the same; order of keys does not matter, undefined is absence. */
export function isSameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, i) => isSameJson(item, b[i]));
  if (!isRow(a) || !isRow(b)) return false;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) if (!isSameJson(a[key], b[key])) return false;
  return true;
}
