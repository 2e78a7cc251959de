// Talking to the node. A question is asked once. An order carries an id made here and is repeated with that same id
// until its one outcome is known: a lost answer can therefore neither lose a payment nor make it twice.

/** The node refused, with its reason (RFC 9457). */
export class Refused extends Error {
  constructor(problem) {
    const words = problem.detail || problem.title || 'the node refused this';
    super(words[0].toUpperCase() + words.slice(1));
    this.code = problem.code ?? '';
    this.field = problem.field ?? '';
    this.status = problem.status ?? 0;
  }
}

/** No outcome was learnt in time. `proposed` is false when it is certain that nothing reached the bank's log. */
export class Unsettled extends Error {
  constructor(proposed) {
    super(proposed ? 'No answer came, so it may or may not have happened.' : 'The bank is busy or has no majority; nothing was done.');
    this.proposed = proposed;
  }
}

const PAUSES_MS = [250, 500, 1000, 2000, 3000, 4000, 5000];
const PATIENCE_MS = 5000;

let token = stored('rialto.token');
let tokenAsked = () => {};
export const onTokenAsked = (f) => { tokenAsked = f; };
/** Without a token the node takes whoever is on this machine for an operator. */
export const isOpen = () => token === '';
export function useToken(value) {
  token = value;
  try { sessionStorage.setItem('rialto.token', value); } catch { /* then for this view only */ }
}
function stored(key) {
  try { return sessionStorage.getItem(key) ?? ''; } catch { return ''; }
}

export async function send(path, options = {}) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { ...options, headers, cache: 'no-store' });
  if (response.status === 401) tokenAsked();
  return response;
}

async function refusal(response) {
  let problem = {};
  try { problem = await response.json(); } catch { /* not ours: a proxy's page, say */ }
  return new Refused({ detail: `The node answered ${response.status}.`, ...problem, status: response.status });
}

export async function ask(path, signal) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const response = await send(path, { signal: signal ? AbortSignal.any([signal, patience]) : patience });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/** Sends an order until its outcome is known. `waiting` is told before each repetition. */
export async function order(path, body, waiting) {
  let proposed = false;
  for (const pause of [...PAUSES_MS, null]) {
    let retryAfterMs = 0;
    try {
      const response = await send(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (response.ok) return { answer: await response.json(), replayed: response.headers.get('idempotent-replayed') === 'true' };
      if (response.status === 503 || response.status === 429) retryAfterMs = 1000 * Math.min(5, Number(response.headers.get('retry-after')) || 0);
      else if (response.status >= 500) proposed = true;
      else throw await refusal(response);
    } catch (failure) {
      if (failure instanceof Refused) throw failure;
      proposed = true;
    }
    if (pause === null) break;
    waiting(proposed);
    await new Promise((resume) => setTimeout(resume, Math.max(pause, retryAfterMs)));
  }
  throw new Unsettled(proposed);
}

/** A UUID of version 7. Not crypto.randomUUID: that is missing on plain http off loopback, and its ids do not sort by time. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let ms = Date.now();
  for (let i = 5; i >= 0; i--) { bytes[i] = ms % 256; ms = Math.floor(ms / 256); }
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
