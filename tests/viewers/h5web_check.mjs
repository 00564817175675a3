// H5Web in headless Chromium: the plots that it draws unasked are, pixel by pixel, of known values.
// usage: h5web_check.sh FILES MODULES SCREENSHOTS
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { withH5Web } from './h5web_view.mjs';

const [files, modules, screenshots] = process.argv.slice(2, 5).map((name) => path.resolve(name));
mkdirSync(screenshots, { recursive: true });

// ---- known values
function metrics(run) {
  return readFileSync(path.join(files, run, 'metrics.jsonl'), 'utf8').trim().split('\n')
    .map((line) => JSON.parse(line)).filter((line) => 'loss' in line);
}

// All numbers of a dataset, as the HDF5 library's own tool prints them.
function dump(file, dataset) {
  const text = execFileSync('h5dump', ['-y', '-w', '0', '-m', '%.17g', '-d', dataset, path.join(files, file)],
    { encoding: 'utf8' });
  return /DATA \{\n([^}]*)\}/.exec(text)[1].trim().split(/[\s,]+/).map(Number);
}

function near(found, expected, tolerance, what) {
  assert.ok(Math.abs(found - expected) <= tolerance * Math.abs(expected), `${what}: ${found}, not ${expected}`);
}

// ---- what a picture must show
const colors = { // of a curve, against gray lines on white
  blue: ([red, , blue]) => blue - red > 12,
  orange: ([red, , blue]) => red - blue > 12,
};

// The polyline through these points is drawn in this color, and nothing else is.
function checkCurve({ width, height, at }, x, y, points, color) {
  const corners = points.map(([px, py]) => [x.place(px), y.place(py)]);
  let columns = 0;
  for (let i = 1; i < corners.length; i += 1) {
    const [[x0, y0], [x1, y1]] = [corners[i - 1], corners[i]];
    for (let column = Math.ceil(x0); column <= x1 && column < width - 1; column += 1) {
      if (x.ticks.some((tick) => Math.abs(tick - column) < 2)) continue; // a grid line lies over it
      const middle = y0 + (column - x0) / (x1 - x0) * (y1 - y0);
      const steep = Math.abs((y1 - y0) / (x1 - x0));
      const drawn = [...Array(height).keys()].filter((row) => color(at(column, row)));
      assert.ok(drawn.length > 0, `nothing at step ${points[i][0]}, column ${column}`);
      const neighbors = [corners[i - 1][1], y1, middle];
      for (const row of drawn) {
        const near = Math.abs(row - middle) <= 2 + 2 * steep;
        const corner = neighbors.some((place) => Math.abs(row - place) <= 4)
          && Math.min(column - x0, x1 - column) < 3;
        assert.ok(near || corner, `column ${column}: drawn at ${row}, not at ${middle}`);
      }
      columns += 1;
    }
  }
  assert.ok(columns > width / 2, `only ${columns} columns of ${width}`);
}

// rows[y][x], the first row at the bottom: the larger a value, the brighter its cell (Viridis).
function checkImage({ width, height, at }, rows) {
  const cells = [];
  const [w, h] = [width / rows[0].length, height / rows.length];
  rows.forEach((row, y) => row.forEach((value, x) => {
    const light = [];
    for (let dx = -0.3; dx <= 0.31; dx += 0.1) {
      for (let dy = -0.3; dy <= 0.31; dy += 0.1) {
        const [red, green, blue] = at(Math.floor((x + 0.5 + dx) * w), Math.floor(height - (y + 0.5 + dy) * h));
        light.push(0.3 * red + 0.59 * green + 0.11 * blue);
      }
    }
    cells.push({ value, light: light.sort((a, b) => a - b)[light.length >> 1] }); // grid lines don't count
  }));
  cells.sort((a, b) => a.value - b.value);
  cells.forEach(({ value, light }, i) => {
    if (i > 0) assert.ok(light >= cells[i - 1].light - 1.5, `${value} is darker than ${cells[i - 1].value}`);
  });
  assert.ok(cells.at(-1).light - cells[0].light > 150, 'all are of one color');
}

async function checkLoss(view, lines) {
  assert.equal(await view.title(), 'training loss per token');
  const [x, y] = [await view.axis('abscissa'), await view.axis('ordinate')];
  checkCurve(view.picture, x, y, lines.map((line) => [line.step, line.loss]), colors.blue);
  for (const line of [lines[2], lines.at(-2)]) {
    const where = `optimizer step = ${line.step}`;
    near(await view.tooltip(x.place(line.step), y.place(line.loss), where), line.loss, 1e-4, where);
  }
}

// ---- the plots
async function look(view) {
  const shot = (name) => path.join(screenshots, `${name}.png`);

  // A file, opened: the training loss.
  for (const [run, file] of [['mlp', 'mlp/latest'], ['gpt', 'gpt/history.h5']]) {
    await view.open(file, '/', shot(`loss-${run}`), () => checkLoss(view, metrics(run)));
  }

  // Its gradients: a heat map of norms over tensors and steps, which add up to those of the metrics.
  const norms = dump('mlp/latest', '/gradients/norm_l2/norm_l2');
  const steps = dump('mlp/latest', '/gradients/step');
  const tensors = norms.length / steps.length;
  const rows = Array.from({ length: tensors }, (_, t) => norms.slice(t * steps.length, (t + 1) * steps.length));
  const logged = Object.fromEntries(metrics('mlp').map((line) => [line.step, line.grad_norm]));
  steps.forEach((step, i) => near(Math.hypot(...rows.map((row) => row[i])), logged[step], 1e-6, `step ${step}`));
  await view.open('mlp/latest', '/gradients', shot('gradients'), async () => {
    assert.equal(await view.title(), 'L2 norm of the gradient');
    checkImage(view.picture, rows);
    const { width, height } = view.picture;
    for (const [t, s] of [[0, 0], [tensors - 1, 0], [3, 4], [tensors - 1, steps.length - 1]]) {
      const [x, y] = [(s + 0.4) / steps.length * width, (1 - (t + 0.4) / tensors) * height];
      const where = `optimizer step=${steps[s]}, tensor, by layer_name=${t}`;
      near(await view.tooltip(x, y, where), rows[t][s], 1e-3, where);
    }
  });

  // How large their elements are, of the first tensor and step: octaves on an even scale.
  const counts = dump('mlp/latest', '/gradients/histogram/counts').slice(0, 285);
  assert.equal(counts.reduce((a, b) => a + b), 64 * 32);
  await view.open('mlp/latest', '/gradients/histogram', shot('histogram'), async () => {
    const x = await view.axis('abscissa');
    for (const octave of [counts.indexOf(Math.max(...counts)) - 142, 0]) {
      const where = `sign and octave, from 2^(octave-127)=${octave}, last optimizer step counted=1`;
      const count = await view.tooltip(x.place(octave + 0.5), view.picture.height - 20, where);
      near(count, counts[octave + 142], 1e-3, where);
    }
  });

  // Its layers: Glorot's two variances of the first step, on a logarithmic scale.
  const { layers } = JSON.parse(readFileSync(path.join(files, 'diagnosis.json'), 'utf8'));
  const variances = ['forward', 'backward'].map((way) => {
    const all = dump('mlp/history.h5', `/activations/glorot/${way}_variance`);
    layers.forEach((layer, l) => { // all steps together are what diagnose tells
      const sum = steps.reduce((part, _, s) => part + all[s * layers.length + l], 0);
      near(Math.sqrt(sum / steps.length), layer[`${way}_std`], 1e-9, layer.name);
    });
    return all.slice(0, layers.length).map((variance, layer) => [layer, variance]);
  });
  await view.open('mlp/history.h5', '/activations', shot('activations'), async () => {
    const [x, y] = [await view.axis('abscissa'), await view.axis('ordinate', Math.log)];
    checkCurve(view.picture, x, y, variances[0], colors.blue);
    checkCurve(view.picture, x, y, variances[1], colors.orange);
  });

  // A sweep: the accuracies of its first activation, by rate and seed.
  const { points } = JSON.parse(readFileSync(path.join(files, 'sweep.json'), 'utf8'));
  const accuracies = points.map((point) => point.cells.map((cell) => cell.valid_accuracy));
  await view.open('sweep.h5', '/', shot('sweep'), async () => {
    assert.equal(await view.title(), 'held-out accuracy');
    checkImage(view.picture, accuracies.slice(0, 2));
  });
}

const late = setTimeout(() => {
  console.error('not done after two minutes');
  process.exit(1);
}, 120_000);
await withH5Web(modules, files, look);
clearTimeout(late);
console.log(`as expected; screenshots: ${screenshots}`);
