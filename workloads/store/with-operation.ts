// For tests: a store of which some operations are the test's own.
import type { Store } from './port.ts';

/** The same store with these operations instead of its own. */
export function withOperation(store: Store, own: Partial<Store>): Store {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(name in own ? own : target, name);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
}
