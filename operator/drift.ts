// Whether a child is as it shall be: every field that we set has our value, and no field that we once set was given up. Fields
// that others added (defaults of the server, `kubectl rollout restart`) do not count. plan.ts writes only where this says no, so
// a settled cluster causes no writes. Pure.
import { contentHash } from './hash.ts';
import { isRow, listItemKey } from './kube/fields.ts';
import type { KubeObject } from './kube/port.ts';
import { ANNOTATION_APPLIED } from './types.ts';

/** The manifest with the hash of itself in an annotation. */
export function sealed(manifest: KubeObject): KubeObject {
  const { metadata } = manifest;
  const annotations = { ...metadata.annotations, [ANNOTATION_APPLIED]: contentHash(manifest) };
  return { ...manifest, metadata: { ...metadata, annotations } };
}

/** Null: nothing to do. Otherwise the path of the first field that differs, or what else is the matter. */
export function describeDrift(live: KubeObject | undefined, desired: KubeObject): string | null {
  if (live === undefined) return 'missing';
  const path = differenceAt(live, desired, { path: '', field: '', isQuantity: false });
  if (path !== null) return path;
  const applied = desired.metadata.annotations?.[ANNOTATION_APPLIED];
  return live.metadata.annotations?.[ANNOTATION_APPLIED] === applied ? null : 'applied with other fields';
}

interface Spot {
  readonly path: string;
  readonly field: string;
  readonly isQuantity: boolean;
}

function differenceAt(live: unknown, desired: unknown, spot: Spot): string | null {
  if (desired === undefined) return null;
  if (isRow(desired)) return rowDifference(live, desired, spot);
  if (Array.isArray(desired)) return listDifference(live, desired, spot);
  if (live === desired) return null;
  return spot.isQuantity && isSameQuantity(live, desired) ? null : spot.path;
}

function rowDifference(live: unknown, desired: Record<string, unknown>, spot: Spot): string | null {
  if (Object.keys(desired).length === 0) return live === undefined || isRow(live) ? null : spot.path;
  if (!isRow(live)) return spot.path;
  for (const [key, value] of Object.entries(desired)) {
    const isQuantity =
      key === 'limits' || key === 'requests' || (spot.isQuantity && !isRow(value)) || key === 'sizeLimit';
    const found = differenceAt(live[key], value, { path: joined(spot.path, key), field: key, isQuantity });
    if (found !== null) return found;
  }
  return null;
}

function listDifference(live: unknown, desired: readonly unknown[], spot: Spot): string | null {
  if (desired.length === 0) return live === undefined || (Array.isArray(live) && live.length === 0) ? null : spot.path;
  if (!Array.isArray(live)) return spot.path;
  const isKeyed = desired.every((item) => listItemKey(spot.field, item) !== null);
  if (!isKeyed && live.length !== desired.length) return spot.path;
  const byKey = new Map(live.map((item: unknown) => [listItemKey(spot.field, item), item]));
  for (const [i, item] of desired.entries()) {
    const key = listItemKey(spot.field, item);
    const path = `${spot.path}[${key ?? i}]`;
    const found = differenceAt(isKeyed ? byKey.get(key) : live[i], item, { path, field: '', isQuantity: false });
    if (found !== null) return found;
  }
  return null;
}

function joined(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

const SUFFIX: Readonly<Record<string, number>> = {
  '': 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

/** The server writes quantities its own way: `1000m` comes back as `1`. */
function isSameQuantity(a: unknown, b: unknown): boolean {
  const left = quantity(a);
  return left !== null && left === quantity(b);
}
function quantity(value: unknown): number | null {
  const match = /^([0-9]+(?:\.[0-9]+)?)([A-Za-z]{0,2})$/.exec(String(value));
  const scale = match === null ? undefined : SUFFIX[match[2] ?? ''];
  return match === null || scale === undefined ? null : Number(match[1]) * scale;
}
