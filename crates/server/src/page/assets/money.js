// Amounts are text and BigInt, never a JavaScript number: a number cannot hold every amount exactly.

const NARROW = '\u202f';

/** Groups the whole part by thousands and writes a true minus: "-1284300.5" becomes "−1 284 300.5". */
export function grouped(text) {
  const [, sign, whole, rest] = /^(-?)(\d+)(.*)$/.exec(String(text)) ?? [null, '', String(text), ''];
  return (sign ? '−' : '') + whole.replace(/\B(?=(\d{3})+$)/g, NARROW) + rest;
}

/** How many decimals the bank writes for this currency, read off an amount that it wrote. */
export function decimalsOf(text) {
  return (String(text).split('.')[1] ?? '').length;
}

/** The amount in minor units, or null where the text is no plain amount with at most that many decimals. */
export function minor(text, decimals) {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text.trim());
  if (!match || (match[3] ?? '').length > decimals) return null;
  const units = BigInt(match[2] + (match[3] ?? '').padEnd(decimals, '0'));
  return match[1] ? -units : units;
}

/** The amount as the bank would write it: "40" becomes "40.00". Null where it is none. */
export function written(text, decimals) {
  const units = minor(text, decimals);
  if (units === null || units <= 0n) return null;
  const digits = units.toString().padStart(decimals + 1, '0');
  return decimals ? `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}` : digits;
}

/** What is wrong with an amount that somebody typed; empty when nothing is. The bank decides; this only says it sooner. */
export function mistake(text, decimals, currency) {
  const typed = text.trim();
  if (typed === '') return 'Enter an amount.';
  if (/^\d{1,3}(,\d{3})*,\d{1,2}$|^\d+,\d+$/.test(typed)) return `Write the decimals after a point: ${typed.replace(/,(?=\d*$)/, '.').replaceAll(',', '')}`;
  if (/^-/.test(typed)) return 'An amount has no sign. Choose another action to move money the other way.';
  if (!/^\d+(\.\d+)?$/.test(typed)) return 'Write the amount in digits, like 12 or 12.5.';
  const given = decimalsOf(typed);
  if (given > decimals) return decimals ? `${currency} has ${decimals} decimals; this has ${given}.` : `${currency} has no decimals.`;
  if (minor(typed, decimals) === 0n) return 'The amount must be more than zero.';
  return '';
}
