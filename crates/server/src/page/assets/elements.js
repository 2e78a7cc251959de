// Making elements without markup in strings: what a customer typed can never become part of the page.

const attributes = new Set(['role', 'for', 'colspan']);

/** An element with properties (or attributes where the name has a dash or is one) and children. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes('-') || attributes.has(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Writes text only where it differs, so that a selection and a screen reader are left in peace. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The first and last characters of an id: enough to tell two apart, short enough for a line. */
export const short = (id) => (id.length > 14 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);

const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u3164\u2800\u115f\u1160\uffa0]/gu;
const TO_THE_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** A text with what nobody can see in it written out: books may hold texts that were taken before such were refused. */
export const visible = (text) => text.replace(UNSEEN, (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** A text as part of a sentence: one that runs to the left does not turn the words around it. */
const within = (text) => (TO_THE_LEFT.test(text) ? `\u2068${visible(text)}\u2069` : visible(text));

/** How a person calls an account: its owner and its id, or the id alone. */
export const called = (account) => (account.owner ? `${within(account.owner)} (${short(account.id)})` : short(account.id));

export const clock = (ms) => new Date(ms).toLocaleTimeString('en-GB');

/** The whole id with a button that copies it. */
export function idWithCopy(id) {
  const copy = el('button', { type: 'button', className: 'quiet', 'aria-label': `Copy ${id}` }, 'Copy');
  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(id);
      copy.textContent = 'Copied';
    } catch {
      // Plain http on a name that is not loopback has no clipboard; the id can still be selected.
      getSelection().selectAllChildren(copy.previousSibling);
    }
  });
  return el('span', {}, el('span', { className: 'mono' }, id), copy);
}
