// The nodes as cards, and the latest transfers.

import { byId, clock, el, say, short, visible } from './elements.js';
import { grouped } from './money.js';

const SHOWN = 10;
const MANY = 8; // above so many a second the list is a sample,
const CALM_MS = 1500; // renewed at this pace
const roles = {
  leader: { leader: 'leader', follower: 'follower' },
  leaderless: { leader: 'current proposer', follower: 'member' },
  both: { starting: 'starting', learner: 'learner, no vote yet', receiving: 'receives the books', away: 'not heard' },
};

export function showNodes(snapshot) {
  const list = byId('nodes');
  const words = { ...roles.both, ...roles[snapshot.mode] };
  const rot = snapshot.rot_repaired;
  const left = snapshot.rot_unmended;
  const repaired = rot ? ` · ${grouped(rot)} rotten record${rot > 1 ? 's' : ''} repaired` : '';
  const unmended = left ? ` · ${grouped(left)} rotten place${left > 1 ? 's' : ''} left, which a restart of node ${snapshot.node} mends` : '';
  say(byId('mode'), `${snapshot.mode} mode${repaired}${unmended}`);
  while (list.children.length < snapshot.nodes.length) list.append(card());
  while (list.children.length > snapshot.nodes.length) list.lastChild.remove();
  snapshot.nodes.forEach((node, i) => {
    const item = list.children[i];
    const behind = (node.lag ?? 0) > 1000;
    item.className = `node ${node.role}${behind ? ' behind' : ''}${node.proposer ? ' proposer' : ''}`;
    const bar = item.querySelector('progress');
    bar.hidden = node.received_percent === null;
    bar.value = node.received_percent ?? 0;
    item.title = [node.address, node.voter ? '' : 'it has no vote', node.proposer ? 'it is the current proposer' : '', node.node === snapshot.node ? 'this page comes from it' : ''].filter(Boolean).join(', ');
    const [name, role, , slot, , lag, , fsync] = item.querySelectorAll('h3 span:last-child, p, dt, dd');
    say(name, `Node ${node.node}`);
    say(role, node.received_percent === null ? words[node.role] ?? node.role : `receives the books, ${node.received_percent} %`);
    say(slot, node.slot === null ? '–' : grouped(node.slot));
    say(lag, node.lag === null ? '–' : grouped(node.lag));
    say(fsync, node.last_fsync_us === null ? '–' : milliseconds(node.last_fsync_us));
  });
}

function card() {
  return el('li', {},
    el('h3', {}, el('span', { className: 'dot', 'aria-hidden': 'true' }), el('span')),
    el('p', { className: 'role' }),
    el('progress', { max: 100, hidden: true, 'aria-label': 'Books received' }),
    el('dl', {}, el('dt', {}, 'slot'), el('dd'), el('dt', { title: 'slots behind the newest' }, 'lag'), el('dd'),
      el('dt', { title: 'the last sync of its log to disk' }, 'sync'), el('dd')));
}

const milliseconds = (us) => (us < 9950 ? `${(us / 1000).toFixed(us < 995 ? 2 : 1)} ms` : `${Math.round(us / 1000)} ms`);

let shown = []; // ids, newest first
let renewedMs = 0;
let reading = false;
const list = byId('latest');
for (const [event, value] of [['pointerenter', true], ['pointerleave', false]]) {
  list.addEventListener(event, () => { reading = value; });
}

export function showLatest(snapshot) {
  const fresh = snapshot.latest.filter((transfer) => !shown.includes(transfer.id));
  byId('latest-empty').hidden = snapshot.latest.length > 0;
  const many = snapshot.transfers_per_second > MANY;
  say(byId('latest-note'), reading && fresh.length ? 'held while you read' : many ? 'a sample' : '');
  if (!fresh.length || reading) return;
  const first = shown.length === 0;
  if (many && !first && Date.now() - renewedMs < CALM_MS) return;
  renewedMs = Date.now();
  const latest = snapshot.latest.slice(0, SHOWN);
  const kept = new Map([...list.children].map((item) => [item.dataset.id, item]));
  list.replaceChildren(...latest.map((transfer) => {
    const item = kept.get(transfer.id) ?? line(transfer);
    item.className = kept.has(transfer.id) || many || first ? '' : 'in';
    return item;
  }));
  shown = latest.map((transfer) => transfer.id);
}

function line(transfer) {
  const item = el('li', { title: `transfer ${transfer.id}` },
    el('span', { className: 'way' }, ...way(transfer)),
    el('span', { className: 'amount' }, grouped(transfer.amount), el('span', { className: 'cur' }, transfer.currency)),
    el('span', { className: 'small' }, [clock(transfer.time_ms), transfer.reference].filter(Boolean).join(' · ')));
  item.dataset.id = transfer.id;
  return item;
}

const vault = (party) => party.internal && party.owner.startsWith('vault');
const name = (party) => visible(party.owner) || short(party.id);

function way({ debit, credit }) {
  if (vault(debit)) return [el('i', {}, 'Deposit to'), el('span', {}, name(credit))];
  if (vault(credit)) return [el('i', {}, 'Withdrawal from'), el('span', {}, name(debit))];
  return [el('span', {}, name(debit)), el('i', {}, '→'), el('span', {}, name(credit))];
}
