// Orders whose outcome this page has not seen. They are kept for the life of the tab, also across a reload: asking again
// repeats the same id, so the bank answers with the first outcome if there was one.

import { order, Refused } from './calls.js';
import { byId, el } from './elements.js';

const KEY = 'rialto.unsettled';
let open = [];
try { open = JSON.parse(sessionStorage.getItem(KEY) ?? '[]'); } catch { /* no storage: then they live as long as this view */ }

function keep(sent) {
  open = sent;
  try { sessionStorage.setItem(KEY, JSON.stringify(open)); } catch { /* as above */ }
}

const lineOf = (id) => byId('unsettled').querySelector(`[data-id="${id}"]`);

/** Remembers an order before it is sent. */
export function remember(sent) {
  keep([...open.filter((other) => other.id !== sent.id), sent]);
}

/** Its outcome is known and was shown. */
export function settle(id) {
  keep(open.filter((sent) => sent.id !== id));
  lineOf(id)?.remove();
}

/** A line above the page for an order without outcome, with a button that asks again. */
export function show(sent, message = 'No answer was seen.') {
  const text = el('span', { role: 'status' }, `${sent.says} ${message}`);
  const again = el('button', { type: 'button' }, 'Ask again');
  const line = el('div', { className: 'notice pending' }, el('span', {}, text, ' ', el('span', { className: 'mono' }, sent.id)), again);
  line.dataset.id = sent.id;
  again.addEventListener('click', async () => {
    again.disabled = true;
    text.textContent = `${sent.says} Asking again with the same id.`;
    try {
      const { answer } = await order(sent.path, sent.body, () => {});
      tell(sent, answer.result ?? 'Done.');
    } catch (failure) {
      if (failure instanceof Refused) tell(sent, `It was refused: ${failure.message}`);
      else text.textContent = `${sent.says} ${failure.message}`;
    }
    again.disabled = false;
  });
  lineOf(sent.id)?.remove();
  byId('unsettled').append(line);
}

/** Says the outcome of an order whose form is gone. */
export function tell(sent, message) {
  settle(sent.id);
  const dismiss = el('button', { type: 'button' }, 'Dismiss');
  const line = el('div', { className: 'notice pending', role: 'status' }, el('span', {}, `${sent.says} ${message} `, el('span', { className: 'mono' }, sent.id)), dismiss);
  dismiss.addEventListener('click', () => line.remove());
  byId('unsettled').append(line);
}

for (const sent of open) show(sent);
