// A Chromium, a line per check, and a wire that can be cut.

import { mkdirSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { chromium } from 'playwright-core';

/** How long a condition may take to become true. Generous: a loaded machine is slow, and a condition that holds costs nothing. */
export const PATIENCE_MS = 40000;

export async function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/** Counts checks and says each in a line. A check that fails leaves a screenshot of the page it was about. */
export class Checks {
  passed = 0;
  failed = 0;

  constructor(directory) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  async check(claim, page, body) {
    try {
      await body();
      this.passed += 1;
      console.log(`ok    ${claim}`);
    } catch (failure) {
      this.failed += 1;
      console.log(`FAIL  ${claim}\n      ${String(failure.message ?? failure).split('\n').slice(0, 6).join('\n      ')}`);
      await page.screenshot({ path: this.file(`failed-${this.failed}`) }).catch(() => {});
    }
  }

  file(name) {
    return path.join(this.directory, `${name}.png`);
  }

  end() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exitCode = this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}

/** Waits until a condition holds; fails with what was seen instead. */
export async function until(what, look) {
  const deadline = Date.now() + PATIENCE_MS;
  let seen;
  for (;;) {
    seen = await look();
    if (seen === true) return;
    if (Date.now() > deadline) throw new Error(`${what}; seen: ${JSON.stringify(seen)}`);
    await new Promise((resume) => setTimeout(resume, 50));
  }
}

export function same(what, seen, wanted) {
  if (seen !== wanted) throw new Error(`${what}: ${JSON.stringify(seen)}, wanted ${JSON.stringify(wanted)}`);
}

/** A TCP line to the bank that can be cut and mended without touching the bank. */
export class Line {
  #sockets = new Set();
  #whole = true;

  async open(url) {
    const to = new URL(url);
    this.server = net.createServer((near) => {
      if (!this.#whole) { near.destroy(); return; }
      const far = net.connect(Number(to.port), to.hostname);
      for (const [one, other] of [[near, far], [far, near]]) {
        this.#sockets.add(one);
        one.on('error', () => other.destroy());
        one.on('close', () => { this.#sockets.delete(one); other.destroy(); });
        one.pipe(other);
      }
    });
    await new Promise((ready) => this.server.listen(0, '127.0.0.1', ready));
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  cut() {
    this.#whole = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#whole = true;
  }

  close() {
    this.cut();
    this.server.close();
  }
}
