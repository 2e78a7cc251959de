// The three things to do with an account's money, and opening an account.

import { chooser } from './choose.js';
import { called, el, idWithCopy } from './elements.js';
import { actionForm, field } from './form.js';
import { decimalsOf, grouped, mistake, written } from './money.js';

const kinds = {
  deposit: { verb: 'Deposit', path: '/deposit_money', way: (account) => `into ${called(account)}` },
  withdraw: { verb: 'Withdraw', path: '/withdraw_money', way: (account) => `from ${called(account)}` },
  move: { verb: 'Move', path: '/move_money', way: (account, to) => `from ${called(account)} to ${to ? called(to) : '…'}` },
};

/** The panel under an account: `current()` gives the account as last seen. */
export function accountActions(current, { after, close }) {
  const account = current();
  const decimals = decimalsOf(account.balance);
  let kind = 'deposit';
  const amount = field('Amount', el('input', { type: 'text', inputMode: 'decimal', placeholder: decimals ? `0.${'0'.repeat(decimals)}` : '0' }), account.currency);
  const choose = chooser(account);
  const to = field('To', choose.input);
  to.root.append(choose.list);
  to.root.hidden = true;

  const choices = el('div', { className: 'kinds', role: 'radiogroup', 'aria-label': 'What to do' });
  for (const [value, { verb }] of Object.entries(kinds)) {
    const radio = el('input', { type: 'radio', name: `kind-${account.id}`, value, checked: value === kind });
    radio.addEventListener('input', () => {
      kind = value;
      to.root.hidden = kind !== 'move';
    });
    choices.append(el('label', {}, radio, el('span', {}, verb)));
  }
  const available = el('span');
  const facts = el('p', { className: 'facts' }, idWithCopy(account.id), available);

  function plan(id) {
    const { verb, way, path } = kinds[kind];
    const sum = written(amount.input.value, decimals);
    const target = kind === 'move' ? choose.value() : null;
    const what = `${verb} ${sum ? grouped(sum) : '…'} ${account.currency}`;
    const words = { says: `${what} ${way(account, target)}.`.replace('….', '…'), button: sum ? what : verb };
    const mistakes = [];
    const wrong = mistake(amount.input.value, decimals, account.currency);
    if (wrong) mistakes.push([amount, wrong]);
    if (kind === 'move' && !target) mistakes.push([to, 'Choose an account, or paste its whole id.']);
    else if (target?.id === account.id) mistakes.push([to, 'This is the account it comes from. Choose another.']);
    if (mistakes.length) return { ...words, mistakes };
    const from = { account_id: account.id };
    const parties = target ? { source: from, destination: { account_id: target.id } } : from;
    return { ...words, path, body: { ...parties, amount: sum, transfer_id: id }, done: 'The money has moved.' };
  }

  function place({ field: named, code }) {
    if (named === 'amount' || /^amount_|^insufficient_funds$|^limit_exceeded$|^balance_overflow$/.test(code)) return amount;
    const ofPayee = named.startsWith('destination') || /^unknown_(credit_)?account$|^same_account$|^currency_mismatch$|^account_(closed|is_internal)$/.test(code);
    return kind === 'move' && ofPayee ? to : null;
  }

  const form = actionForm({
    head: [facts, choices], fields: [amount, to], plan, place, close,
    after(answer) {
      if (answer) amount.input.value = '';
      after();
    },
  });
  const refresh = () => {
    const { available: free, currency } = current();
    available.textContent = `${grouped(free)} ${currency} available`;
  };
  refresh();
  return { form, refresh, focus: () => amount.input.focus() };
}

/** The form that opens an account. */
export function openAccount({ after, close }) {
  const owner = field('Owner (may stay empty)', el('input', { type: 'text', maxLength: 64 }));
  const currency = field('Currency', el('input', { type: 'text', value: 'EUR', maxLength: 3, spellcheck: false, autocapitalize: 'characters' }));

  function plan(id) {
    const code = currency.input.value.trim().toUpperCase();
    const name = owner.input.value.trim();
    const words = { says: `Open an account in ${code || '…'}${name ? ` for ${name}` : ''}, with nothing on it.`, button: 'Open account' };
    if (!/^[A-Z]{3}$/.test(code)) return { ...words, mistakes: [[currency, 'A currency has three letters, like EUR.']] };
    const body = { id, currency: code, ...(name && { owner: name }) };
    return { ...words, path: '/v1/accounts', body, done: 'The account is open.' };
  }
  function place({ field: named, code }) {
    if (named === 'owner' || /owner/.test(code)) return owner;
    return named === 'currency' || /currency/.test(code) ? currency : null;
  }
  const form = actionForm({
    head: [], fields: [owner, currency], plan, place, close,
    after(answer) {
      if (!answer) return;
      owner.input.value = '';
      after();
    },
  });
  return { form, focus: () => owner.input.focus() };
}
