// A store that tests can take away, count the calls of, and put another one behind: a wrapper around a real one.
import { StoreUnavailableError } from '../store/port.ts';
import type { Store } from '../store/port.ts';
import { withOperation } from '../store/with-operation.ts';

export interface FailingStore {
  readonly store: Store;
  /** While it is away every operation rejects as a cut connection does. */
  away: boolean;
  /** Operations that are done, and whose answers are lost. */
  readonly lost: Set<string>;
  readonly calls: ReadonlyMap<string, number>;
  /** Operations that have not been answered. */
  underWay: number;
  /** What operations go to from now on, as after a failover. */
  behind: Store;
}

/** The same store with a switch, which counts what is asked. */
export function aStoreThatFails(store: Store): FailingStore {
  const calls = new Map<string, number>();
  const failing = { store, away: false, lost: new Set<string>(), calls, underWay: 0, behind: store };
  failing.store = new Proxy(store, {
    get(_first, name) {
      const target = failing.behind;
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        calls.set(String(name), (calls.get(String(name)) ?? 0) + 1);
        if (failing.away) return Promise.reject(new StoreUnavailableError('the store is away'));
        const answer: unknown = Reflect.apply(member, target, args);
        if (answer instanceof Promise) {
          failing.underWay++;
          const answered = (): unknown => failing.underWay--;
          answer.then(answered, answered);
        }
        if (!failing.lost.has(String(name))) return answer;
        return Promise.resolve(answer).then(() => {
          throw new StoreUnavailableError('the answer was lost');
        });
      };
    },
  });
  return failing;
}

export interface HeldAnswer {
  /** Resolves once the store has done it. */
  readonly done: Promise<void>;
  /** Its answer arrives at the gateway. */
  release(): void;
}

/** The next operation of that name goes through this; those after it do not. */
export function interceptNext(
  failing: FailingStore,
  name: 'openSession' | 'subscribe',
  through: (ask: () => Promise<unknown>) => Promise<unknown>,
): void {
  const real = failing.behind;
  const operation = async (...args: unknown[]): Promise<unknown> => {
    failing.behind = real;
    return await through(() => Reflect.apply(real[name], real, args) as Promise<unknown>);
  };
  failing.behind = withOperation(real, { [name]: operation });
}

/** The next operation of that name is done at once; its answer stays on the way. */
export function holdAnswer(failing: FailingStore, name: 'openSession' | 'subscribe'): HeldAnswer {
  const done = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  interceptNext(failing, name, async (ask) => {
    const answer = await ask();
    done.resolve();
    await released.promise;
    return answer;
  });
  return { done: done.promise, release: () => released.resolve() };
}
