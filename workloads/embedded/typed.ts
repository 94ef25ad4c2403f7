// What a person types at the device of `npm run device`, as something to send. Pure; device.ts reads the lines.
import type { SendTo } from '../client/client.ts';

export type Typed =
  | { readonly kind: 'send'; readonly to: SendTo; readonly body: string }
  /** A message to the business. */
  | { readonly kind: 'upstream'; readonly name: string; readonly body: unknown }
  | { readonly kind: 'subscribe'; readonly topic: string }
  | { readonly kind: 'create'; readonly group: string; readonly members: readonly string[] };

/** The forms a line may have, for people. */
export const FORMS = [
  '@ada lunch?             to the account ada',
  '#lunch at 12:30         to the group lunch',
  'order.placed {"n":1}    to the business, any JSON',
  '/subscribe news         hear a topic',
  '/create lunch ada bob   make a group of accounts; you are in it',
] as const;

/** One line → what it asks for; null: it has none of the forms. */
export function parseTyped(line: string): Typed | null {
  const [first, rest] = split(line.trim());
  const name = first.slice(1);
  if (rest === '') return null;
  if (first === '/subscribe') return { kind: 'subscribe', topic: rest };
  if (first === '/create') {
    const [group, members] = split(rest);
    return { kind: 'create', group, members: members.split(/\s+/).filter((member) => member !== '') };
  }
  if (first.startsWith('/')) return null;
  if (first.startsWith('@')) return name === '' ? null : { kind: 'send', to: { account: name }, body: rest };
  if (first.startsWith('#')) return name === '' ? null : { kind: 'send', to: { group: name }, body: rest };
  try {
    return { kind: 'upstream', name: first, body: JSON.parse(rest) as unknown };
  } catch {
    return null;
  }
}

/** The first word, and what follows it. */
function split(text: string): [first: string, rest: string] {
  const at = text.search(/\s/);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at).trim()];
}
