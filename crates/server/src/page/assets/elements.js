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

/** How a person calls an account: its owner and its id, or the id alone. */
export const called = (account) => (account.owner ? `${account.owner} (${short(account.id)})` : short(account.id));

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
