// The field in which one names another account: by typing part of an owner or id and choosing, or by pasting a whole id.

import { ask } from './calls.js';
import { called, el } from './elements.js';
import { grouped } from './money.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PAUSE_MS = 120;

/** An ARIA combobox. `from` is the account that is left out; only accounts of its currency are offered. */
export function chooser(from) {
  const list = el('ul', { className: 'choices', id: `choices-${from.id}`, role: 'listbox', hidden: true });
  const input = el('input', {
    type: 'text', placeholder: 'Owner or id', spellcheck: false, autocomplete: 'off', role: 'combobox',
    'aria-expanded': 'false', 'aria-controls': list.id, 'aria-autocomplete': 'list',
  });
  let offered = [];
  let at = -1;
  let chosen = null;
  let asking = null;
  let pause = 0;

  /** Closes the list, also against an answer that is still on its way. */
  function fold() {
    clearTimeout(pause);
    asking?.abort();
    list.hidden = true;
    at = -1;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  }
  function mark(index) {
    at = index;
    [...list.children].forEach((item, i) => item.setAttribute('aria-selected', String(i === at)));
    if (at >= 0) input.setAttribute('aria-activedescendant', list.children[at].id);
  }
  function take(account) {
    chosen = account;
    input.value = called(account);
    fold();
    input.dispatchEvent(new Event('chosen', { bubbles: true }));
  }
  async function offer() {
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
      const { accounts } = await ask(`/v1/accounts?limit=12&search=${encodeURIComponent(input.value.trim())}`, mine.signal);
      if (document.activeElement !== input) return;
      const marked = offered[at]?.id;
      offered = accounts.filter((a) => a.kind === 'customer' && !a.closed && a.currency === from.currency && a.id !== from.id).slice(0, 6);
      list.replaceChildren(...offered.map((account, i) => {
        const item = el('li', { id: `${list.id}-${i}`, role: 'option', 'aria-selected': 'false' },
          el('span', {}, called(account)), el('span', { className: 'id' }, grouped(account.balance)));
        item.addEventListener('pointerdown', (event) => { event.preventDefault(); take(account); });
        return item;
      }));
      list.hidden = offered.length === 0;
      input.setAttribute('aria-expanded', String(!list.hidden));
      mark(offered.findIndex((account) => account.id === marked));
    } catch { /* typed on, or the node is away: a pasted id still works */ }
  }
  input.addEventListener('input', () => {
    chosen = null;
    // What was offered for another word is no answer to this one, and must not be taken by the next key.
    offered = [];
    list.replaceChildren();
    fold();
    pause = setTimeout(offer, PAUSE_MS);
  });
  input.addEventListener('focus', () => { if (!chosen) offer(); });
  input.addEventListener('blur', fold);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && at < 0) fold();
    if (list.hidden) return;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      event.stopPropagation();
      mark((at + (event.key === 'ArrowDown' ? 1 : offered.length - (at < 0 ? 0 : 1))) % offered.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      take(offered[at]);
    } else if (event.key === 'Escape') {
      event.stopPropagation();
      fold();
    }
  });
  return {
    input,
    list,
    /** { id, owner? } or null */
    value: () => chosen ?? (UUID.test(input.value.trim()) ? { id: input.value.trim().toLowerCase() } : null),
  };
}
