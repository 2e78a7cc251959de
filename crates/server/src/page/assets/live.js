// The stream of snapshots. It is read with fetch and not with EventSource, which can carry no token and gives up for good
// on an answer such as 503. Silence counts as a lost connection: the node speaks at least twice a second.

import { send } from './calls.js';

const SILENCE_MS = 4000;
const PAUSES_MS = [250, 500, 1000, 2000, 3000];
const REST_AFTER_MS = 30000;

/** Follows the node for as long as the page lives. Handlers: history, snapshot, lost(since ms). */
export function follow(handlers) {
  let heardMs = Date.now();
  let failures = 0;
  let cut = null;
  let retry = 0;
  let rest = 0;

  async function connect() {
    clearTimeout(retry);
    cut?.abort();
    const mine = new AbortController();
    cut = mine;
    let watch = 0;
    const listen = () => { clearTimeout(watch); watch = setTimeout(() => mine.abort(), SILENCE_MS); };
    try {
      listen();
      const response = await send('/events', { signal: mine.signal, headers: { accept: 'text/event-stream' } });
      if (!response.ok) throw new Error(`the node answered ${response.status}`);
      for await (const { event, data } of events(response.body)) {
        listen();
        heardMs = Date.now();
        failures = 0;
        if (event === 'snapshot') handlers.snapshot(data);
        else if (event === 'history') handlers.history(data);
      }
    } catch {
      // Whatever it was, the remedy is the same: say since when, and try again.
    } finally {
      clearTimeout(watch);
      mine.abort();
    }
    if (cut !== mine) return;
    cut = null;
    if (rest < 0) return;
    handlers.lost(heardMs);
    retry = setTimeout(connect, PAUSES_MS[Math.min(failures++, PAUSES_MS.length - 1)]);
  }

  // A page that nobody sees costs the node nothing after a while, and is up to date when it is looked at again.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      rest = setTimeout(() => { rest = -1; clearTimeout(retry); cut?.abort(); }, REST_AFTER_MS);
    } else {
      clearTimeout(rest);
      const resting = rest < 0;
      rest = 0;
      if (resting) connect();
    }
  });
  connect();
  return { again: connect };
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const event = lines.find((line) => line.startsWith('event: '))?.slice(7);
      const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
      if (event && data) yield { event, data: JSON.parse(data) };
    }
  }
}
