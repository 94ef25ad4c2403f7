// A Kubernetes quantity as a number: `768Mi`, `1.5G`, `2e9`, `500m`. manifests/memory-env.ts reads memory limits with it. Pure.

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
/** Digits, then a suffix or an exponent, never both: `1E` is 10¹⁸, `1E3` is 1000. */
const FORM = /^\+?([0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]([+-]?[0-9]{1,3})|(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?)$/;

/**
 * Quantity → its value in whole units, rounded up as Kubernetes does. Null for what is none, and for what is negative: there is no
 * such limit.
 * @param value as it stands in a manifest: YAML makes a number of `1000`
 */
export function parseQuantity(value: unknown): number | null {
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  const [, digits, exponent, suffix = ''] = FORM.exec(String(value)) ?? [];
  if (digits === undefined) return null;
  const scale = exponent === undefined ? SUFFIXES[suffix]! : 10 ** Number(exponent);
  return Math.ceil(Number(digits) * scale);
}
