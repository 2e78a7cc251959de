// The page of a Rialto bank node: puts the parts together. No framework, no build step; what you read is what runs.

import { closeInnermost, hint, unreadable } from './accounts.js';
import { isOpen, onTokenAsked, useToken } from './calls.js';
import { byId, clock, el, say } from './elements.js';
import * as figures from './figures.js';
import { follow } from './live.js';
import { showLatest, showNodes } from './nodes.js';

const search = byId('search');
const notice = byId('notice');
let asksToken = false;

const stream = follow({
  history: figures.history,
  snapshot(snapshot) {
    document.body.classList.add('live');
    document.body.classList.remove('lost');
    notice.hidden = true;
    asksToken = false;
    say(byId('bank'), snapshot.bank);
    say(byId('link-text'), 'Live');
    const open = isOpen() ? '. A demo: whoever is on this machine is an operator, unasked' : '';
    say(byId('served'), `Page of node ${snapshot.node}, bank ${snapshot.bank}${open}`);
    document.title = `${snapshot.bank} · ${snapshot.health} · Rialto`;
    figures.show(snapshot);
    showNodes(snapshot);
    showLatest(snapshot);
    hint(snapshot);
  },
  lost(sinceMs) {
    document.body.classList.remove('live');
    document.body.classList.add('lost');
    say(byId('link-text'), 'Not connected');
    document.title = 'not connected · Rialto';
    unreadable('The page is not connected.');
    if (asksToken) return;
    notice.hidden = false;
    say(notice, `No connection since ${clock(sinceMs)}. What you see is from then. The page tries again by itself.`);
  },
});

onTokenAsked(() => {
  if (asksToken) return;
  asksToken = true;
  const input = el('input', { type: 'password', autocomplete: 'off', 'aria-label': 'Operator token' });
  const form = el('form', {}, input, el('button', { type: 'submit' }, 'Use it'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    useToken(input.value.trim());
    asksToken = false;
    stream.again();
  });
  notice.replaceChildren('This node shows its books only to whoever holds its operator token.', form);
  notice.hidden = false;
  input.focus();
});

// No letter or sign alone does anything: who speaks to the browser, or whose hand slips, would set it off (WCAG 2.1.4).
document.addEventListener('keydown', (event) => {
  if (event.key === '/' && event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') {
    if (event.target === search && search.value) {
      search.value = '';
      search.dispatchEvent(new Event('input'));
    } else if (!closeInnermost()) {
      document.activeElement.blur();
    }
  }
});
