// Why a TLS connection to Redis did not come to be, in words that name the setting that mends it. Pure; node.ts and connectors.ts pass on
// what sockets say through it, cluster.ts and redis-store.ts know by MISFIT what waiting does not mend.

/** Begins every text that says that our settings and the server's do not fit: waiting does not mend it (redis-store.ts). */
export const MISFIT = 'TLS: expected';

/** Of X509 checks: whoever signed it is not among those that are trusted. */
const NOT_TRUSTED = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
]);
/** The server's alert that the time of what we showed of ourselves is over. */
const RUN_OUT = /ALERT_CERTIFICATE_EXPIRED$/;
/** The server's alerts about what else is wrong with it, or that we showed nothing. */
const NOT_WANTED = /ALERT_(BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_(?!EXPIRED)\w+|HANDSHAKE_FAILURE)$/;
/** What came back was no TLS. */
const NO_TLS = /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/;

/** The error in our words, with itself as the cause; the same error where there is nothing to add. @param at host:port */
export function explainProblem(error: Error, at: string): Error {
  const text = describe(error);
  return text === null ? error : new Error(`${at}: ${text}`, { cause: error });
}

function describe(error: Error & { code?: unknown; host?: unknown; reason?: unknown }): string | null {
  const code = typeof error.code === 'string' ? error.code : '';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `${MISFIT} a certificate for ${String(error.host)}, got one for another name (${String(error.reason)}); reach it at a name of its certificate, or set PUSHCLUSTER_STORE_SERVER_NAME`;
  if (NOT_TRUSTED.has(code))
    return `${MISFIT} a certificate signed by PUSHCLUSTER_STORE_CA_FILE, or without it by a public authority, got another (${error.message})`;
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `TLS: its certificate is not valid now (${error.message})`;
  if (RUN_OUT.test(code)) return `TLS: our certificate is not valid now (PUSHCLUSTER_STORE_CERTIFICATE_FILE)`;
  if (NOT_WANTED.test(code)) {
    // The alert for whatever has no alert of its own; before TLS 1.3 also that we showed nothing.
    const more = code.endsWith('HANDSHAKE_FAILURE') ? ', or no cipher in common' : '';
    return `${MISFIT} a client certificate that the server takes in PUSHCLUSTER_STORE_CERTIFICATE_FILE and PUSHCLUSTER_STORE_KEY_FILE${more} (${code})`;
  }
  if (NO_TLS.test(code)) return `${MISFIT} a port that speaks TLS, got one that does not; or set an address redis…://`;
  return null;
}
