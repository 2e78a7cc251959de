// The large figures and the curve of the last two minutes.

import { byId, el, say } from './elements.js';
import { grouped } from './money.js';

const WINDOW_MS = 120000;
const WIDTH = 600;
const HEIGHT = 120;
let points = []; // { at: ms of this page's clock, rate }
let hover = null;

export function history({ per_second: perSecond }) {
  const now = performance.now();
  points = perSecond.map((rate, i) => ({ at: now - (perSecond.length - i) * 1000, rate }));
}

export function show(snapshot) {
  const [first, ...others] = snapshot.money;
  const money = byId('money');
  const amount = first ? grouped(first.amount) : '0';
  if (money.dataset.shown !== amount + first?.currency) {
    money.dataset.shown = amount + first?.currency;
    money.replaceChildren(amount, first ? el('span', { className: 'unit' }, first.currency) : '');
    money.style.fontSize = amount.length > 19 ? `${Math.max(0.45, 19 / amount.length)}em` : '';
  }
  say(byId('money-others'), others.length ? `and ${others.map((m) => `${grouped(m.amount)}\u00a0${m.currency}`).join(' · ')}` : 'by all customers together');
  say(byId('accounts-count'), grouped(snapshot.accounts));
  say(byId('outcomes-count'), grouped(snapshot.outcomes));
  const health = byId('health');
  say(health, snapshot.health[0].toUpperCase() + snapshot.health.slice(1));
  health.className = `large ${snapshot.health}`;
  say(byId('health-reason'), snapshot.reason);
  say(byId('rate'), grouped(snapshot.transfers_per_second));
  points.push({ at: performance.now(), rate: snapshot.transfers_per_second });
  const oldest = performance.now() - WINDOW_MS - 2000;
  while (points.length && points[0].at < oldest) points.shift();
  if (!document.hidden) draw();
}

function draw() {
  const now = points[points.length - 1].at;
  const peak = points.reduce((most, point) => Math.max(most, point.rate), 0);
  const top = Math.max(peak * 1.08, 1);
  const x = (point) => WIDTH * (1 - (now - point.at) / WINDOW_MS);
  const y = (point) => HEIGHT - 1 - (HEIGHT - 2) * (point.rate / top);
  const seen = points.filter((point, i) => x(points[i + 1] ?? point) >= 0);
  const line = seen.map((point) => `${Math.max(0, x(point)).toFixed(1)} ${y(point).toFixed(1)}`).join('L');
  byId('curve-line').setAttribute('d', `M${line}`);
  byId('curve-area').setAttribute('d', `M${Math.max(0, x(seen[0])).toFixed(1)} ${HEIGHT}L${line}L${WIDTH} ${HEIGHT}Z`);
  say(byId('curve-peak'), peak > 0 ? `peak ${grouped(peak)}` : '');
  byId('curve').setAttribute('aria-label', `Transfers per second over the last two minutes: peak ${peak}`);
  const hair = byId('curve-hair');
  hair.hidden = hover === null;
  if (hover === null) {
    say(byId('rate-note'), 'the last two minutes');
    return;
  }
  const at = now - (1 - hover) * WINDOW_MS;
  const near = seen.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best));
  hair.style.left = `${Math.max(0, x(near)) / WIDTH * 100}%`;
  say(byId('rate-note'), `${grouped(near.rate)} at ${Math.round((now - near.at) / 1000)} s ago`);
}

const curve = byId('curve');
curve.addEventListener('pointermove', (event) => {
  const box = curve.getBoundingClientRect();
  hover = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  if (points.length) draw();
});
curve.addEventListener('pointerleave', () => {
  hover = null;
  if (points.length) draw();
});
