// What the fleet's devices are called: `dev-000042` of account `acc-000042`, with a prefix where several fleets share an app.
// Fleet and publisher agree through this file.

export interface DeviceRange {
  /** Before the number; default `dev-`. */
  readonly prefix?: string;
  readonly first: number;
  readonly count: number;
}

export function deviceName(index: number, prefix = 'dev-'): string {
  return `${prefix}${String(index).padStart(6, '0')}`;
}
/** Each device has an account of its own. */
export function accountName(index: number, prefix = 'dev-'): string {
  return deviceName(index, prefix === 'dev-' ? 'acc-' : `acc-${prefix}`);
}
export function deviceNames({ prefix, first, count }: DeviceRange): string[] {
  return Array.from({ length: count }, (_, i) => deviceName(first + i, prefix));
}
