// H5Web in a headless Chromium, and what can be read off the plot that it shows.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const html = `<!doctype html><meta charset="utf-8"><title>H5Web</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/h5web_page.css"><style>html, body, #root { height: 100%; margin: 0 }</style>
<div id="root"></div><script type="module" src="/h5web_page.js"></script>`;

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
  '--disable-background-networking', '--disable-component-update'];

// The page on 127.0.0.1, with the files of one folder.
async function serve(esbuild, modules, files) {
  const { outputFiles } = await esbuild.build({
    entryPoints: [fileURLToPath(new URL('h5web_page.jsx', import.meta.url))],
    bundle: true, minify: true, write: false, outdir: '/', format: 'esm', jsx: 'automatic', target: 'es2022',
    nodePaths: [path.join(modules, 'node_modules')], logLevel: 'error',
  });
  const built = new Map(outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]));
  const types = { '.js': 'text/javascript', '.css': 'text/css' };
  const server = createServer(async (request, response) => {
    const name = new URL(request.url, 'http://localhost').pathname;
    const body = name === '/' ? html : built.get(name)
      ?? await readFile(path.join(files, name.replace('/files/', ''))).catch(() => null);
    response.writeHead(body === null ? 404 : 200, {
      'content-type': name === '/' ? 'text/html' : types[path.extname(name)] ?? 'application/octet-stream',
    });
    response.end(body);
  });
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  return server;
}

// Runs look(view), whatever happens ends browser and server, and reports what the page complained of.
export async function withH5Web(modules, files, look) {
  const require = createRequire(path.join(modules, 'package.json'));
  const server = await serve(require('esbuild'), modules, files);
  // (A profile of its own, empty and removed in the end: that is what launch() makes.)
  const browser = await require('playwright-core').chromium.launch({
    executablePath: '/usr/bin/chromium', args: flags, timeout: 60_000,
  });
  const complaints = [];
  try {
    const page = await browser.newPage({ viewport: { width: 800, height: 560 } });
    page.setDefaultTimeout(30_000);
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('requestfailed', (request) => complaints.push(request.url()));
    page.on('response', (answer) => answer.ok() || complaints.push(`${answer.url()}: ${answer.status()}`));
    await look(new View(page, `http://127.0.0.1:${server.address().port}/`));
  } finally {
    await browser.close();
    server.close();
  }
  assert.deepEqual(complaints, []);
}

class View {
  constructor(page, address) {
    this.page = page;
    this.address = address;
  }

  // Opens a file at a path, as a click would, and repeats the checks until the plot is drawn.
  async open(file, where, screenshot, checks) {
    await this.page.goto(`${this.address}?file=${file}&path=${where}`);
    await this.page.waitForSelector('figure canvas');
    const end = Date.now() + 15_000;
    for (;;) {
      try {
        await this.page.mouse.move(0, 0);
        this.picture = await this.#canvas();
        await this.page.screenshot({ path: screenshot });
        await checks();
        return;
      } catch (problem) {
        if (!(problem instanceof assert.AssertionError) || Date.now() > end) throw problem;
        await this.page.waitForTimeout(100);
      }
    }
  }

  title() {
    return this.page.getAttribute('figure', 'aria-label');
  }

  // From a value to pixels of the canvas, by the axis's own labels; of: the scale's function.
  async axis(type, of = (value) => value) {
    const ticks = await this.page.$$eval(`figure svg[data-type=${type}] .visx-axis-tick`,
      (found, along) => found.map((tick) => ({
        text: tick.querySelector('text').textContent.replace('\u2212', '-'),
        at: Number(tick.querySelector('line').getAttribute(along)),
      })).filter((tick) => tick.text !== ''), type === 'abscissa' ? 'x1' : 'y1');
    assert.ok(ticks.length > 1, `${type}: no labels`);
    const [first, last] = [ticks[0], ticks.at(-1)];
    const part = (value) => (of(value) - of(Number(first.text))) / (of(Number(last.text)) - of(Number(first.text)));
    const place = (value) => first.at + part(value) * (last.at - first.at);
    for (const { text, at } of ticks) {
      assert.ok(Math.abs(place(Number(text)) - at) < 1, `${type}: ${text} is at ${at}`);
    }
    return { place, ticks: ticks.map((tick) => tick.at) };
  }

  // The value that the tooltip tells at a pixel of the canvas, once it is the tooltip of that place.
  async tooltip(x, y, place) {
    const box = await this.page.locator('figure canvas').boundingBox();
    let told = 'nothing';
    for (let tries = 0; tries < 20; tries += 1) {
      await this.page.mouse.move(box.x + x - 2, box.y + y - 2); // it shows up as the pointer moves
      await this.page.mouse.move(box.x + x, box.y + y);
      const [where, value] = await this.page.$$eval('.visx-tooltip', (found) => found.flatMap((tip) => [
        [...tip.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join(''),
        tip.querySelector('strong').textContent]));
      if (where === place) return Number(value.replace('\u2212', '-'));
      told = where ?? told;
      await this.page.waitForTimeout(50);
    }
    throw new assert.AssertionError({ message: `the tooltip of ${place} tells ${told}` });
  }

  // The canvas and what lies over it, as red, green and blue of each pixel.
  async #canvas() {
    const image = (await this.page.locator('figure canvas').screenshot()).toString('base64');
    const { width, height, bytes } = await this.page.evaluate(async (png) => {
      const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
      canvas.drawImage(bitmap, 0, 0);
      const { data } = canvas.getImageData(0, 0, bitmap.width, bitmap.height);
      let text = '';
      for (let i = 0; i < data.length; i += 4096) text += String.fromCharCode(...data.subarray(i, i + 4096));
      return { width: bitmap.width, height: bitmap.height, bytes: btoa(text) };
    }, image);
    const data = Buffer.from(bytes, 'base64');
    return { width, height, at: (x, y) => data.subarray(4 * (y * width + x), 4 * (y * width + x) + 3) };
  }
}
