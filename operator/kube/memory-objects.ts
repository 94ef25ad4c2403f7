// Objects as the API server in memory compares, selects and patches them. Pure; memory.ts calls it.
import { isRow } from './fields.ts';
import { KubeError } from './port.ts';
import type { Address, Kind, KubeObject, Selection } from './port.ts';

/** The name of an object among all. */
export function keyOf(kind: Kind, at: Address): string {
  return `${kind.apiVersion}/${kind.kind}/${kind.namespaced ? (at.namespace ?? 'default') : ''}/${at.name}`;
}
/** What lists are sorted by. */
export function placeOf(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}
/** Whether an object is of a kind. */
export function isOfKind(object: KubeObject, kind: Kind): boolean {
  return object.kind === kind.kind && object.apiVersion === kind.apiVersion;
}
/** Whether a selection takes an object. */
export function isSelected(object: KubeObject, selection: Selection): boolean {
  if (selection.namespace !== undefined && object.metadata.namespace !== selection.namespace) return false;
  const labels = object.metadata.labels ?? {};
  if (!Object.entries(selection.labels ?? {}).every(([name, value]) => labels[name] === value)) return false;
  return Object.entries(selection.fields ?? {}).every(([path, value]) => fieldText(object, path) === value);
}
/** A field as a field selector compares it: absent flags are false. */
function fieldText(object: KubeObject, path: string): string {
  let at: unknown = object;
  for (const name of path.split('.')) at = isRow(at) ? at[name] : undefined;
  return typeof at === 'string' ? at : JSON.stringify(at ?? false);
}
/** Whether a merge patch takes all finalizers away. */
export function isReleasing(patch: Readonly<Record<string, unknown>>): boolean {
  return isRow(patch['metadata']) && patch['metadata']['finalizers'] === null;
}
/** Whether nothing holds the object up from going. */
export function hasNoFinalizer(object: KubeObject): boolean {
  return (object.metadata.finalizers ?? []).length === 0;
}
/** The status alone, where there is one. */
export function statusOf(object: KubeObject): { status?: unknown } {
  return object['status'] === undefined ? {} : { status: object['status'] };
}
/** Everything but metadata and status: what `generation` counts. */
export function specOf(object: KubeObject): unknown {
  const { metadata: _metadata, status: _status, ...rest } = object;
  return rest;
}

/** Throws 409 Conflict unless the object is the wanted one, at the wanted version. */
export function assertVersion(
  kind: Kind,
  live: KubeObject,
  wanted: { readonly uid?: string; readonly resourceVersion?: string },
): void {
  const { uid, resourceVersion } = live.metadata;
  if (wanted.uid !== undefined && wanted.uid !== uid)
    throw new KubeError(
      409,
      'Conflict',
      `${kind.plural} ${live.metadata.name}: expected uid ${wanted.uid}, got ${uid}`,
    );
  if (wanted.resourceVersion !== undefined && wanted.resourceVersion !== resourceVersion)
    throw new KubeError(
      409,
      'Conflict',
      `${kind.plural} ${live.metadata.name}: expected version ${wanted.resourceVersion}, got ${resourceVersion}`,
    );
}

/** RFC 7396. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRow(patch)) return patch;
  const out: Record<string, unknown> = isRow(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key];
    else out[key] = mergePatch(out[key], value);
  }
  return out;
}
