// The page of a running bank in a real Chromium: node page.mjs URL [DIRECTORY FOR SCREENSHOTS] [MODE OF THE BANK]
//
// It opens accounts and moves money in that bank, and stops nothing. Balances are compared as text: the page and this
// script never make a number of an amount.

import { randomUUID } from 'node:crypto';
import { Checks, launch, Line, PATIENCE_MS, same, until } from './browser.mjs';

const url = (process.argv[2] ?? 'http://127.0.0.1:7100').replace(/\/$/, '');
const mode = process.argv[4] ?? 'leader';
const checks = new Checks(process.argv[3] ?? 'screenshots');
const browser = await launch();
const run = randomUUID().slice(0, 8);
const first = `First ${run}`;
const ada = `Ada ${run}`;
const bela = `Béla ${run}`;

/** Opens the page and waits until it is live; collects whatever the browser complains about. */
async function open(options = {}, at = url) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light', ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.complaints = [];
  page.origins = new Set();
  page.on('console', (message) => { if (message.type() === 'error') page.complaints.push(message.text()); });
  page.on('pageerror', (error) => page.complaints.push(error.message));
  page.on('request', (request) => page.origins.add(new URL(request.url()).origin));
  page.answer = await page.goto(at);
  await page.waitForSelector('body.live');
  return page;
}

const row = (page, owner) => page.locator('tr.account', { hasText: owner });
const balance = (page, owner) => row(page, owner).locator('.balance').innerText();
/** The rows are what was asked for, and not still those of the question before. */
const answered = (page) => until('the node answered', async () => (await page.locator('#rows').getAttribute('aria-busy')) === 'false');
const search = async (page, text) => {
  await page.locator('#search').fill(text);
  await answered(page);
};
const shows = (page, owner, wanted) => until(`${owner} has ${wanted}`, async () => {
  const seen = await row(page, owner).count() === 1 ? await balance(page, owner) : 'no such row';
  return seen === wanted || seen;
});

async function openAccount(page, owner) {
  await page.locator('#open').click();
  await page.getByLabel('Owner (may stay empty)').fill(owner);
  same('what it will do', await page.locator('#opening .says').innerText(), `Open an account in EUR for ${owner}, with nothing on it.`);
  await page.locator('#opening').getByRole('button', { name: 'Open account' }).click();
  await page.locator('#opening .outcome strong', { hasText: 'Done.' }).waitFor();
  await page.keyboard.press('Escape');
  await row(page, owner).waitFor();
}

/** Closes what a check before left open, and shows the accounts of this run: a failure shall not drag others along. */
async function afresh(page) {
  for (let presses = 0; presses < 3 && await page.locator('form.action').count() > 0; presses++) await page.keyboard.press('Escape');
  if (await page.locator('#search').inputValue() !== run) await search(page, run);
}

/** Opens the panel of an account, unless it is open. */
async function panel(page, owner, kind) {
  if (await row(page, owner).locator('.row[aria-expanded="true"]').count() === 0) await row(page, owner).locator('.row').click();
  await page.getByRole('radio', { name: kind }).check();
}

async function post(path, body) {
  const answer = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
}

async function idOf(owner) {
  const { accounts } = await (await fetch(`${url}/v1/accounts?limit=2&search=${encodeURIComponent(owner)}`)).json();
  same(`accounts of ${owner}`, accounts.length, 1);
  return accounts[0].id;
}

const desk = await open();

await checks.check('the page is live, under a strict policy, and loads nothing from elsewhere', desk, async () => {
  const policy = desk.answer.headers()['content-security-policy'] ?? '';
  same('policy', policy.startsWith("default-src 'none'; script-src 'self'") && !policy.includes('unsafe'), true);
  same('origins', [...desk.origins].join(' '), url);
  await until('health', async () => (await desk.locator('#health').innerText()) !== '–');
  await until('nodes', async () => (await desk.locator('.node').count()) >= 1);
  await until('one node leads', async () => (await desk.locator('.node.leader').count()) === 1);
});

await checks.check('the count is right from the first account on', desk, async () => {
  await desk.evaluate(() => {
    window.ranges = [];
    new MutationObserver(() => window.ranges.push(document.getElementById('range').textContent))
      .observe(document.getElementById('range'), { childList: true, characterData: true, subtree: true });
  });
  await openAccount(desk, first);
  await until('the count', async () => /^1–\d+ of \d+$/.test(await desk.locator('#range').innerText()));
  const ranges = await desk.evaluate(() => window.ranges);
  // Of all that was ever shown no page ends behind the last account.
  const wrong = ranges.filter((text) => text && !(([, to, of]) => Number(to) <= Number(of))(/–(\d+) of (\d+)$/.exec(text.replaceAll('\u202f', '')) ?? []));
  same('wrong counts', wrong.join(' | '), '');
  same('a count was shown', ranges.some(Boolean), true);
});

await checks.check('two accounts are opened in place', desk, async () => {
  await openAccount(desk, ada);
  await openAccount(desk, bela);
  await afresh(desk);
  await shows(desk, ada, '0.00');
  await shows(desk, bela, '0.00');
});

await checks.check('a deposit says what it will do, then its outcome and id', desk, async () => {
  await afresh(desk);
  await panel(desk, ada, 'Deposit');
  await desk.getByLabel('Amount').fill('1040');
  const says = await desk.locator('.panel .says').innerText();
  same('what it will do', says.startsWith(`Deposit 1\u202f040.00 EUR into ${ada}`), true);
  await desk.getByRole('button', { name: 'Deposit 1\u202f040.00 EUR' }).click();
  await desk.locator('.panel .outcome strong', { hasText: 'Done.' }).waitFor();
  same('id', /[0-9a-f]{8}-[0-9a-f]{4}-7/.test(await desk.locator('.panel .outcome .mono').innerText()), true);
  await shows(desk, ada, '1\u202f040.00');
});

await checks.check('money moves to an account that is chosen while typing', desk, async () => {
  await afresh(desk);
  await panel(desk, ada, 'Move');
  await desk.getByLabel('Amount').fill('15.5');
  const to = desk.getByRole('combobox', { name: 'To' });
  await to.fill(bela);
  await desk.getByRole('option', { name: bela }).waitFor();
  await to.press('ArrowDown');
  await to.press('Enter');
  await desk.locator('.panel .says', { hasText: `to ${bela}` }).waitFor();
  await desk.getByRole('button', { name: 'Move 15.50 EUR' }).click();
  await desk.locator('.panel .outcome strong', { hasText: 'Done.' }).waitFor();
  await shows(desk, ada, '1\u202f024.50');
  await shows(desk, bela, '15.50');
  await desk.screenshot({ path: checks.file('desk-light-moved') });
});

await checks.check('too much is refused next to the amount, and nothing moves', desk, async () => {
  await afresh(desk);
  await panel(desk, ada, 'Withdraw');
  const amount = desk.getByLabel('Amount');
  await amount.fill('5000');
  await amount.press('Enter');
  await until('error at the field', async () => (await amount.getAttribute('aria-invalid')) === 'true');
  const error = await desk.locator(`#${await amount.getAttribute('aria-describedby')}`).innerText();
  same('the error names what is there and what was asked', /1024\.50/.test(error) && /5000\.00/.test(error) ? true : error, true);
  await shows(desk, ada, '1\u202f024.50');
  await desk.screenshot({ path: checks.file('desk-light-refused') });
});

await checks.check('a mistyped amount is told at the field and never sent', desk, async () => {
  await afresh(desk);
  await panel(desk, ada, 'Withdraw');
  const sent = [];
  const listen = (request) => { if (request.method() === 'POST') sent.push(request.url()); };
  desk.on('request', listen);
  const amount = desk.getByLabel('Amount');
  for (const [typed, said] of [['', 'Enter an amount'], ['12,50', 'after a point: 12.50'], ['0.001', '2 decimals'], ['-1', 'no sign'], ['0.00', 'more than zero'], ['1e3', 'in digits']]) {
    await amount.fill(typed);
    await amount.press('Enter');
    const error = await desk.locator(`#${await amount.getAttribute('aria-describedby')}`).innerText();
    same(`said to ${JSON.stringify(typed)}`, error.includes(said) ? true : error, true);
  }
  desk.off('request', listen);
  same('requests', sent.join(' '), '');
});

await checks.check('the bank refuses what only it can know, next to the payee', desk, async () => {
  await afresh(desk);
  await panel(desk, ada, 'Move');
  await desk.getByLabel('Amount').fill('1');
  const to = desk.getByRole('combobox', { name: 'To' });
  await to.fill(randomUUID());
  await to.press('Enter');
  await until('error at the payee', async () => (await to.getAttribute('aria-invalid')) === 'true');
  await desk.keyboard.press('Escape');
  await until('closed', async () => (await desk.locator('.panel').count()) === 0);
});

await checks.check('what another client does is seen without a reload', desk, async () => {
  await afresh(desk);
  // Twice: the first could be seen by chance, because the page reads again after a panel was closed.
  for (const [amount, then] of [['7.00', '22.50'], ['0.25', '22.75']]) {
    await post('/deposit_money', { account_id: await idOf(bela), amount, transfer_id: randomUUID() });
    await shows(desk, bela, then);
  }
  await desk.locator('.latest li', { hasText: bela }).first().waitFor();
});

await checks.check('a lost answer is asked for again with the same id, and the money moves once', desk, async () => {
  await afresh(desk);
  const ids = [];
  await desk.route('**/deposit_money', async (route) => {
    ids.push(JSON.parse(route.request().postData()).transfer_id);
    const response = await route.fetch();
    if (ids.length === 1) await route.abort('connectionreset');
    else await route.fulfill({ response });
  });
  await panel(desk, bela, 'Deposit');
  await desk.getByLabel('Amount').fill('1.00');
  await desk.getByLabel('Amount').press('Enter');
  await desk.locator('.panel .outcome', { hasText: 'it happened once' }).waitFor();
  await desk.unroute('**/deposit_money');
  same('ids', new Set(ids).size === 1 && ids.length === 2, true);
  await shows(desk, bela, '23.75');
  await desk.keyboard.press('Escape');
});

await checks.check('search, order and pages come from the node', desk, async () => {
  await afresh(desk);
  await search(desk, bela);
  await until('one row', async () => (await desk.locator('tr.account').count()) === 1);
  await search(desk, `nobody-${run}`);
  await desk.getByText('No account matches').waitFor();
  await desk.locator('#search').press('Escape');
  await until('rows again', async () => (await desk.locator('tr.account').count()) > 1);
  await search(desk, run);
  for (const [order, top] of [['balance', first], ['-balance', ada]]) {
    await desk.locator('#sort').selectOption(order);
    await until(`${top} on top`, async () => (await desk.locator('tr.account .row').first().innerText()) === top);
  }
});

await checks.check('while the bank cannot be read its rows are told to be old, and nothing can be done to them', desk, async () => {
  await afresh(desk);
  await row(desk, ada).waitFor();
  const unavailable = { type: 'about:blank', title: 'The bank cannot take this now', status: 503, code: 'unavailable', detail: 'no majority of the nodes answers' };
  await desk.route('**/v1/accounts?*', (route) => route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify(unavailable) }));
  // A refresh fails: the rows stay, of when they are is told, and no click reaches them.
  await post('/deposit_money', { account_id: await idOf(ada), amount: '0.01', transfer_id: randomUUID() });
  await desk.locator('#old', { hasText: /These accounts are as of \d\d:\d\d:\d\d.*no majority/i }).waitFor();
  await desk.screenshot({ path: checks.file('desk-light-old-rows') });
  same('the rows are inert', await desk.locator('#rows').evaluate((rows) => rows.inert), true);
  await row(desk, ada).click({ force: true });
  await desk.locator('#search').press('ArrowDown');
  await desk.keyboard.press('Enter');
  same('panels', await desk.locator('.panel').count(), 0);
  // A search fails: the rows of the search before are no answer to it.
  await desk.locator('#search').fill(bela);
  await until('no rows', async () => (await desk.locator('tr.account').count()) === 0);
  await desk.locator('#old', { hasText: /cannot be read just now.*no majority/i }).waitFor();
  same('nothing is said about what matches', await desk.locator('#empty').isHidden(), true);
  await desk.screenshot({ path: checks.file('desk-light-unreadable') });
  await desk.unroute('**/v1/accounts?*');
  await row(desk, bela).waitFor();
  await until('no notice', async () => desk.locator('#old').isHidden());
  same('the rows can be acted on', await desk.locator('#rows').evaluate((rows) => rows.inert), false);
  await post('/withdraw_money', { account_id: await idOf(ada), amount: '0.01', transfer_id: randomUUID() });
  await search(desk, run);
});

await checks.check("the bank's own accounts are marked and offer no action", desk, async () => {
  await search(desk, 'vault');
  const vault = desk.locator('tr.internal').first();
  await vault.locator('.tag', { hasText: 'internal' }).waitFor();
  same('buttons', await vault.locator('button').count(), 0);
  await search(desk, run);
  await row(desk, ada).waitFor();
});

await checks.check('everything can be done by keyboard alone, with the focus in sight', desk, async () => {
  await desk.locator('body').click({ position: { x: 4, y: 4 } });
  await desk.keyboard.press('Control+/');
  same('focus', await desk.evaluate(() => document.activeElement.id), 'search');
  await desk.keyboard.type(ada);
  await answered(desk);
  await until('one row', async () => (await desk.locator('tr.account').count()) === 1);
  await desk.keyboard.press('ArrowDown');
  same('focus', await desk.evaluate(() => document.activeElement.textContent), ada);
  same('outline', await desk.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'solid');
  await desk.screenshot({ path: checks.file('desk-light-focus') });
  await desk.keyboard.press('Enter');
  await desk.keyboard.type('0.50');
  await desk.keyboard.press('Enter');
  await desk.locator('.panel .outcome strong', { hasText: 'Done.' }).waitFor();
  await shows(desk, ada, '1\u202f025.00');
  await desk.keyboard.press('Escape');
  await until('closed', async () => (await desk.locator('.panel').count()) === 0);
  same('focus', await desk.evaluate(() => document.activeElement.textContent), ada);
  await desk.locator('#open').focus();
  await desk.keyboard.press('Enter');
  same('focus', await desk.evaluate(() => document.activeElement.labels[0].textContent), 'Owner (may stay empty)');
  await desk.keyboard.press('Escape');
  await until('closed', async () => (await desk.locator('#opening form').count()) === 0);
});

await checks.check('no character alone does anything (WCAG 2.1.4)', desk, async () => {
  await afresh(desk);
  await desk.locator('body').click({ position: { x: 4, y: 4 } });
  const before = await desk.evaluate(() => document.activeElement.tagName);
  for (let code = 33; code < 127; code++) await desk.keyboard.press(String.fromCharCode(code));
  same('forms', await desk.locator('form.action').count(), 0);
  same('focus', await desk.evaluate(() => document.activeElement.tagName), before);
  same('shortcuts', await desk.evaluate(() => [...document.querySelectorAll('[aria-keyshortcuts]')].map((it) => it.getAttribute('aria-keyshortcuts')).filter((keys) => !keys.includes('+')).join(' ')), '');
});

await checks.check('every control has a name', desk, async () => {
  await afresh(desk);
  await row(desk, ada).locator('.row').click();
  await desk.getByRole('radio', { name: 'Move' }).check();
  const nameless = await desk.evaluate(() => [...document.querySelectorAll('button, input, select, [role=combobox]')]
    .filter((control) => !(control.getAttribute('aria-label') || control.textContent.trim() || [...(control.labels ?? [])].some((label) => label.textContent.trim())))
    .map((control) => control.outerHTML));
  same('nameless', nameless.join('\n'), '');
  await desk.keyboard.press('Escape');
});

await checks.check('a lost connection greys the page, says since when, and comes back by itself', desk, async () => {
  const line = new Line();
  const page = await open({}, await line.open(url));
  line.cut();
  await page.getByText(/No connection since \d\d:\d\d:\d\d/).waitFor();
  await until('greyed', async () => Number(await page.locator('main').evaluate((main) => getComputedStyle(main).opacity)) < 0.6);
  await page.screenshot({ path: checks.file('desk-light-lost') });
  line.mend();
  await page.waitForSelector('body.live:not(.lost)');
  same('notice hidden', await page.locator('#notice').isHidden(), true);
  await page.context().close();
  line.close();
});

await checks.check('the browser had nothing to complain about but the refusals', desk, async () => {
  const complaints = desk.complaints.filter((text) => !/status of 422|status of 404|status of 503|ERR_CONNECTION_RESET/.test(text));
  same('complaints', complaints.join('\n'), '');
});

const phone = await open({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true });
await checks.check('a phone needs no sideways scrolling, also with an action open', phone, async () => {
  const overhang = () => phone.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  same('pixels too wide', await overhang(), 0);
  await phone.screenshot({ path: checks.file('phone') });
  await search(phone, run);
  await panel(phone, ada, 'Move');
  same('pixels too wide', await overhang(), 0);
  const low = await phone.locator('.panel button:visible:not(.quiet), .panel input:visible').evaluateAll((all) => all.filter((one) => one.type !== 'radio' && one.getBoundingClientRect().height < 40).length);
  same('controls too low for a thumb', low, 0);
  await phone.screenshot({ path: checks.file('phone-action') });
});

const dark = await open({ colorScheme: 'dark', reducedMotion: 'reduce' });
await checks.check('both colour schemes can be read, and nothing moves where that is asked for', dark, async () => {
  for (const page of [desk, dark]) {
    const ratios = await page.evaluate(contrasts);
    for (const [what, ratio] of ratios) if (ratio < 4.5) throw new Error(`${what}: contrast ${ratio.toFixed(2)}`);
  }
  same('animations', await dark.evaluate(() => document.getAnimations().length), 0);
  await dark.screenshot({ path: checks.file('desk-dark') });
});

/** Runs in the page: contrast (WCAG) of some texts with the card they stand on. */
function contrasts() {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return ['.figure .large', '.figure .small', '#health', '.bar h2', 'th', '.row', '.node .role', '#open'].map((selector) => {
    const text = document.querySelector(selector);
    let ground = text;
    while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
    const [low, high] = [light(getComputedStyle(text).color), light(getComputedStyle(ground).backgroundColor)].sort((a, b) => a - b);
    return [selector, (high + 0.05) / (low + 0.05)];
  });
}

await browser.close();
checks.end();
