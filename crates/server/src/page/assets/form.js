// What every action has: fields with their own errors, a sentence that says what will happen, an outcome with its id.

import { newId, order, Refused } from './calls.js';
import { el, idWithCopy, say } from './elements.js';
import * as unsettled from './unsettled.js';

let serial = 0;

/** A labelled field. `unit` is shown inside it at the right. */
export function field(label, input, unit) {
  input.id = `field-${++serial}`;
  const error = el('p', { className: 'error', id: `${input.id}-error`, role: 'alert' });
  input.setAttribute('aria-describedby', error.id);
  const box = unit ? el('div', { className: 'with-unit' }, input, el('span', { 'aria-hidden': 'true' }, unit)) : input;
  return {
    input,
    root: el('div', { className: 'field' }, el('label', { for: input.id }, label), box, error),
    fail(text) {
      say(error, text);
      input.setAttribute('aria-invalid', text ? 'true' : 'false');
    },
  };
}

/**
 * The form around fields. `plan(id)` says what would be done now: { says, button } and either { path, body, done } or
 * { mistakes: [[field, text]…] }. `place(refused)` gives the field an error belongs to, or null. `after(answer, id)` is called
 * with an outcome, `after(null, id)` with a refusal.
 *
 * The id is made here. It stays while the same thing is tried again, and is new as soon as anything was changed or the
 * bank has given its word on it: one order, one id, one outcome.
 */
export function actionForm({ fields, head, plan, place, after, close }) {
  const says = el('p', { className: 'says' });
  const submit = el('button', { type: 'submit', className: 'primary' });
  const cancel = el('button', { type: 'button' }, 'Close');
  const outcome = el('div', { className: 'outcome', role: 'status' });
  const form = el('form', { className: 'action', noValidate: true, autocomplete: 'off' }, ...head,
    el('div', { className: 'fields' }, ...fields.map((one) => one.root)), says, el('div', { className: 'buttons' }, submit, cancel), outcome);
  let id = newId();
  let busy = false;

  function preview() {
    const now = plan(id);
    say(says, now.says);
    say(submit, now.button);
  }
  function changed() {
    id = newId();
    for (const one of fields) one.fail('');
    if (!busy) outcome.replaceChildren();
    preview();
  }
  function tell(kind, strong, text, of) {
    outcome.className = `outcome ${kind}`;
    outcome.replaceChildren(el('strong', {}, strong), ` ${text} `, idWithCopy(of));
  }

  async function run(now) {
    const sent = { id, path: now.path, body: now.body, says: now.says };
    unsettled.settle(sent.id);
    unsettled.remember(sent);
    outcome.replaceChildren();
    const waiting = () => tell('wait', 'No answer yet.', 'Trying again with the same id, so it cannot happen twice.', sent.id);
    try {
      const { answer, replayed } = await order(sent.path, sent.body, waiting);
      unsettled.settle(sent.id);
      const sentence = `${answer.result ?? now.done}${replayed ? ' This is the first answer again; it happened once.' : ''}`;
      if (!form.isConnected) unsettled.tell(sent, sentence);
      id = newId();
      tell('', 'Done.', sentence, sent.id);
      after(answer, sent.id);
    } catch (failure) {
      if (failure instanceof Refused) refused(sent, failure);
      else notSettled(sent, failure, now.button);
    }
  }
  function refused(sent, failure) {
    unsettled.settle(sent.id);
    if (!form.isConnected) return unsettled.tell(sent, `It was refused: ${failure.message}`);
    id = newId();
    outcome.replaceChildren();
    const where = place(failure);
    if (where) {
      where.fail(failure.message);
      where.input.focus();
    } else {
      outcome.append(el('p', { className: 'error', role: 'alert' }, failure.message));
    }
    return after(null, sent.id);
  }
  function notSettled(sent, failure, button) {
    if (failure.proposed) unsettled.show(sent, failure.message);
    else unsettled.settle(sent.id);
    tell('wait', failure.proposed ? 'Not settled.' : 'Not done.', `${failure.message} “${button}” tries again with the same id.`, sent.id);
  }

  form.addEventListener('input', changed);
  form.addEventListener('chosen', changed);
  cancel.addEventListener('click', close);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (busy) return;
    const now = plan(id);
    for (const one of fields) one.fail('');
    for (const [one, text] of now.mistakes ?? []) one.fail(text);
    if (now.mistakes) {
      now.mistakes[0][0].input.focus();
      return;
    }
    busy = true;
    submit.disabled = true;
    await run(now);
    busy = false;
    submit.disabled = false;
    preview();
  });

  preview();
  return form;
}
