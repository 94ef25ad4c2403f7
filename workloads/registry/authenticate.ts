// Whether a device is who it says, in the way its app allows: a JWT signed by one of the app's keys, or the app's webhook (webhook.ts).
// service.ts calls it after admission and before anything is stored. Answers the topic patterns its token may carry.
import { errors, jwtVerify } from 'jose';
import type { JWTHeaderParameters, JWTPayload } from 'jose';
import { RefusedError } from '../protocol/codes.ts';
import { LIMITS } from '../protocol/limits.ts';
import type { Log } from '../runtime/log.ts';
import type { App, AppKey } from './apps.ts';
import type { RegisterRequest } from './requests.ts';
import { isTopicPattern, narrowTopics } from './topics.ts';
import type { Webhook } from './webhook.ts';

/** Who the credential must be for. */
const AUDIENCE = 'pushcluster';
/** The signer's clock and ours differ by less. */
const SKEW_SECONDS = 5;
/** Keys tried for one token whose header names none of them. */
const KEYS_TRIED_MAX = 4;

/** Resolves with the token's topic patterns; rejects with RefusedError. Cost: one signature (50–150 µs) or one HTTP request. */
export async function authenticate(
  app: App,
  request: RegisterRequest,
  deps: { webhook: Webhook; nowMs: number; log: Log },
): Promise<readonly string[]> {
  const { credential } = request;
  if (app.authWebhook !== undefined) {
    const sent = credential === null ? null : credential.kind === 'token' ? credential.token : credential.value;
    const question = { app: request.app, account: request.account, device: request.device, credential: sent };
    const { topics } = await deps.webhook.ask(app.authWebhook, question, deps.log);
    return narrowTopics(app.allowedTopics, topics);
  }
  if (credential?.kind !== 'token')
    throw refused(`credential: app ${app.name} authenticates by signed tokens; expected {"token": "…"}`, 'credential');
  return narrowTopics(app.allowedTopics, checkClaims(request, await verifySigned(app, credential.token, deps.nowMs)));
}

async function verifySigned(app: App, token: string, nowMs: number): Promise<JWTPayload> {
  if (token.length > LIMITS.credentialCharsMax)
    throw refused(`credential.token: expected at most ${LIMITS.credentialCharsMax} characters, got ${token.length}`);
  const header = headerOf(token);
  let failure: unknown = null;
  for (const key of keysFor(app, header)) {
    try {
      const checked = await jwtVerify(token, key.key, {
        algorithms: [key.algorithm],
        audience: AUDIENCE,
        requiredClaims: ['exp', 'sub', 'app'],
        clockTolerance: SKEW_SECONDS,
        currentDate: new Date(nowMs),
      });
      return checked.payload;
    } catch (error) {
      failure = error;
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) break; // the signature held: another key will not help
    }
  }
  throw refused(`credential.token: ${describeFailure(failure, app)}`);
}

function headerOf(token: string): Partial<JWTHeaderParameters> {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.split('.', 1)[0]!, 'base64url').toString());
    if (typeof header === 'object' && header !== null) return header;
  } catch {
    throw refused('credential.token: expected a JWT');
  }
  throw refused('credential.token: expected a JWT');
}

/** The app's keys that may have signed: of the header's algorithm and key id; keys without an id are tried for any. */
function keysFor(app: App, header: Partial<JWTHeaderParameters>): readonly AppKey[] {
  const named = app.keys.filter(
    (key) => key.algorithm === header.alg && (header.kid === undefined || key.kid === null || key.kid === header.kid),
  );
  return named.slice(0, KEYS_TRIED_MAX);
}

function describeFailure(failure: unknown, app: App): string {
  if (failure === null)
    return `no key of app ${app.name} fits its header; expected EdDSA, ES256 or RS256 by a known key`;
  if (failure instanceof errors.JWTExpired) return 'ran out';
  if (failure instanceof errors.JWTClaimValidationFailed) return `claim ${failure.claim}: ${failure.reason}`;
  if (failure instanceof errors.JWSSignatureVerificationFailed) return `not signed by a key of app ${app.name}`;
  return 'expected a signed JWT';
}

/** The claims must be for this request; answers the topics they narrow to, null when they name none. */
function checkClaims(request: RegisterRequest, claims: JWTPayload): readonly string[] | null {
  const { app, device, topics } = claims as JWTPayload & Record<'app' | 'device' | 'topics', unknown>;
  if (app !== request.app) throw refused(`credential.token: claim app: expected ${request.app}`);
  if (claims.sub !== request.account) throw refused('credential.token: claim sub: expected the account of the request');
  if (device !== undefined && device !== request.device)
    throw refused('credential.token: claim device: expected the device of the request');
  if (topics === undefined) return null;
  if (!Array.isArray(topics) || topics.length > LIMITS.topicPatternsMax || !topics.every(isTopicPattern))
    throw refused(
      `credential.token: claim topics: expected at most ${LIMITS.topicPatternsMax} names or prefixes ending in *`,
    );
  return topics;
}

function refused(message: string, field = 'credential.token'): RefusedError {
  return new RefusedError('unauthenticated', message, { field });
}
