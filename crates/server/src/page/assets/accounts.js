// The accounts: search as you type, order, pages, all made by the node, so that 100,000 accounts cost the page 25 rows.
// The visible rows are read again when a snapshot says that something on them changed, at most once a second. While a
// panel is open rows keep their places, so that nothing moves under a hand that is about to press a button.
//
// Rows that may be others by now are inert: while another question is on its way, and for as long as the bank cannot be
// read (no majority, no connection). Then the page says of when they are; where they answer another question than the one
// that was asked, they go.

import { accountActions, openAccount } from './actions.js';
import { ask } from './calls.js';
import { byId, clock, el, say, visible, short } from './elements.js';
import { grouped } from './money.js';

const PAGE = 25;
const TYPING_MS = 120;
const CALM_MS = 1000;
const tbody = byId('rows');
const search = byId('search');
const sort = byId('sort');
const rows = new Map(); // account id → { account, tr, parts }
let cursors = [null]; // cursor of each page up to this one
let nextCursor = null;
let asking = null;
let readMs = 0;
let rowsMs = 0; // of when the rows are
let stale = false;
let lastSequence = 0;
let lastAccounts = -1;
let chosen = null; // { id, panel, actions }
let opening = null;

/** Reads the page of accounts again. An explicit change of what is asked for may move rows; a refresh may not while a panel is open. */
async function read(cause) {
  asking?.abort();
  const mine = (asking = new AbortController());
  stale = false;
  readMs = Date.now();
  const query = new URLSearchParams({ limit: PAGE, sort: sort.value, hide: 'bench' });
  if (search.value.trim()) query.set('search', search.value.trim());
  if (cursors.at(-1)) query.set('cursor', cursors.at(-1));
  try {
    const answer = await ask(`/v1/accounts?${query}`, mine.signal);
    if (!answer.accounts.length && cursors.length > 1) {
      // The page before became the last one.
      cursors.pop();
      stale = true;
      return;
    }
    nextCursor = answer.next_cursor;
    rowsMs = readMs;
    byId('old').hidden = true;
    tbody.inert = false;
    if (chosen && cause === 'refresh') await refreshInPlace(answer.accounts);
    else arrange(answer.accounts);
    pages(answer);
  } catch (failure) {
    if (mine.signal.aborted) return;
    stale = true;
    if (cursors.length > 1 && failure.code === 'invalid_cursor') { cursors = [null]; return; }
    if (cause === 'asked') clear();
    unreadable(failure.message);
  } finally {
    if (asking === mine) {
      asking = null;
      tbody.ariaBusy = 'false';
    }
  }
}

/** The rows answer another question than the one that was asked: they go. */
function clear() {
  close();
  for (const { tr } of rows.values()) tr.remove();
  rows.clear();
  nextCursor = null;
  byId('empty').hidden = true;
  say(byId('range'), '');
  byId('previous').disabled = true;
  byId('next').disabled = true;
}

/** The bank cannot be read, so nothing is done to what is shown. Ends with the next answer. */
export function unreadable(why) {
  stale = true;
  tbody.inert = true;
  byId('empty').hidden = true;
  const notice = byId('old');
  const what = rows.size ? `These accounts are as of ${clock(rowsMs)}. Nothing can be done to them until they can be read again.` : 'The accounts cannot be read just now.';
  // The first reason stays: a screen reader is not told of each vain try.
  if (notice.hidden || !notice.textContent.startsWith(what)) say(notice, `${what} ${why}`);
  notice.hidden = false;
}

async function refreshInPlace(accounts) {
  for (const account of accounts) if (rows.has(account.id)) fill(rows.get(account.id), account);
  if (chosen && !accounts.some((account) => account.id === chosen.id)) {
    const id = chosen.id;
    const account = await ask(`/v1/accounts/${id}`);
    if (rows.has(id)) fill(rows.get(id), account);
  }
  chosen?.actions.refresh();
}

function arrange(accounts) {
  const focused = document.activeElement;
  const wanted = accounts.map((account) => {
    const row = rows.get(account.id) ?? makeRow(account);
    fill(row, account);
    return row.tr;
  });
  for (const [id, row] of rows) if (!wanted.includes(row.tr)) { row.tr.remove(); rows.delete(id); }
  wanted.forEach((tr, i) => {
    tr.classList.toggle('odd', i % 2 === 1);
    if (tbody.children[i] !== tr) tbody.insertBefore(tr, tbody.children[i] ?? null);
  });
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  if (accounts.length) byId('empty').hidden = true;
  else empty(search.value.trim() ? `No account matches “${search.value.trim()}”.` : 'No accounts yet. Open the first one.');
}

function empty(text) {
  say(byId('empty'), text);
  byId('empty').hidden = false;
}

function pages({ accounts }) {
  const from = (cursors.length - 1) * PAGE;
  const to = from + accounts.length;
  // The last page tells how many there are; before it the snapshot does, which may be older than the page.
  const total = nextCursor ? Math.max(lastAccounts, to + 1) : to;
  const of = search.value.trim() ? (nextCursor ? ', and more that match' : ' that match') : ` of ${grouped(total)}`;
  say(byId('range'), accounts.length ? `${grouped(from + 1)}–${grouped(to)}${of}` : '');
  byId('previous').disabled = cursors.length < 2;
  byId('next').disabled = !nextCursor;
}

function makeRow(account) {
  const internal = account.kind !== 'customer';
  const name = internal ? el('span', { dir: 'auto' }) : el('button', { type: 'button', className: 'row', dir: 'auto', 'aria-expanded': 'false' });
  const balance = el('span', { className: 'balance' });
  const held = el('span', { className: 'held' });
  const tr = el('tr', { className: `account${internal ? ' internal' : ''}` },
    el('td', {}, name, internal ? el('span', { className: 'tag', title: 'An account of the bank itself' }, 'internal') : ''),
    el('td', { className: 'wide' }, el('span', { className: 'id mono', title: account.id }, short(account.id))),
    el('td', { className: 'amount' }, balance, el('span', { className: 'cur' }, account.currency), held));
  const row = { account: null, tr, name, balance, held, internal };
  if (!internal) tr.addEventListener('click', () => { if (!getSelection().toString()) toggle(account.id); });
  rows.set(account.id, row);
  return row;
}

function fill(row, account) {
  const before = row.account;
  row.account = account;
  say(row.name, visible(account.owner) || short(account.id));
  row.name.classList.toggle('nameless', !account.owner);
  say(row.balance, grouped(account.balance));
  say(row.held, !row.internal && account.available !== account.balance ? `${grouped(account.available)} available` : '');
  if (before && before.balance !== account.balance) flash(row.balance);
}

function flash(element) {
  element.classList.remove('changed');
  requestAnimationFrame(() => element.classList.add('changed'));
}

function toggle(id) {
  if (chosen?.id === id) return close();
  close();
  const row = rows.get(id);
  const actions = accountActions(() => row.account, { close, after: () => read('refresh') });
  const panel = el('tr', { className: 'panel' }, el('td', { colspan: 3 }, actions.form));
  row.tr.after(panel);
  row.tr.classList.add('chosen');
  row.name.setAttribute('aria-expanded', 'true');
  chosen = { id, panel, actions };
  actions.focus();
  panel.scrollIntoView({ block: 'nearest' });
  return undefined;
}

function close() {
  if (!chosen) return;
  const row = rows.get(chosen.id);
  const inside = chosen.panel.contains(document.activeElement);
  chosen.panel.remove();
  row?.tr.classList.remove('chosen');
  row?.name.setAttribute('aria-expanded', 'false');
  chosen = null;
  if (inside) row?.name.focus({ preventScroll: true });
  stale = true;
}

/** Something else is asked for: what is shown is on its way out, and says so. */
function turn(change) {
  tbody.ariaBusy = 'true';
  tbody.inert = true;
  close();
  change();
  read('asked');
}

function toggleOpening() {
  if (opening) return closeOpening();
  opening = openAccount({ close: closeOpening, after: () => turn(() => { cursors = [null]; }) });
  byId('opening').replaceChildren(opening.form);
  byId('open').setAttribute('aria-expanded', 'true');
  opening.focus();
  return undefined;
}

function closeOpening() {
  opening.form.remove();
  opening = null;
  byId('open').setAttribute('aria-expanded', 'false');
  byId('open').focus({ preventScroll: true });
}

/** A snapshot came: read again if it touches what is on the screen. */
export function hint({ sequence, changed, ...counts }) {
  const accounts = counts.accounts + counts.internal_accounts;
  const missed = sequence !== lastSequence + 1;
  const moved = changed.accounts.length > 0 || changed.more;
  const visible = changed.more || changed.accounts.some((id) => rows.has(id)) || (moved && sort.value.endsWith('balance'));
  if (missed || visible || accounts !== lastAccounts) stale = true;
  lastSequence = sequence;
  lastAccounts = accounts;
  if (counts.health === 'stalled') unreadable(`The bank has no majority: ${counts.reason}.`);
  if (stale && !asking && !document.hidden && Date.now() - readMs >= CALM_MS) read('refresh');
}

/** Esc closes what is open, the innermost first. Says whether there was anything. */
export function closeInnermost() {
  if (chosen && !opening?.form.contains(document.activeElement)) close();
  else if (opening) closeOpening();
  else return false;
  return true;
}

let typing = 0;
search.addEventListener('input', () => {
  tbody.ariaBusy = 'true';
  tbody.inert = true;
  clearTimeout(typing);
  typing = setTimeout(() => turn(() => { cursors = [null]; }), TYPING_MS);
});
sort.addEventListener('change', () => turn(() => { cursors = [null]; }));
byId('next').addEventListener('click', () => turn(() => cursors.push(nextCursor)));
byId('previous').addEventListener('click', () => turn(() => cursors.pop()));
byId('open').addEventListener('click', toggleOpening);

/** Walks the accounts with the arrow keys, from the search field on. */
document.addEventListener('keydown', (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const from = document.activeElement;
  if (!step || !(from === search || from.classList.contains('row'))) return;
  const buttons = [search, ...tbody.querySelectorAll('.row')];
  buttons[buttons.indexOf(from) + step]?.focus();
  event.preventDefault();
});

read('asked');
