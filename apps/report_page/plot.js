'use strict';
// Elements, numbers, tables and plots. Text from the report enters the page as text nodes only.

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {}))
    if (key === 'on') for (const [type, f] of Object.entries(value)) node.addEventListener(type, f);
    else if (key === 'css') node.style.cssText = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : value);
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

const known = x => typeof x === 'number' && isFinite(x);
const list = x => Array.isArray(x) ? x : [];
const object = x => x && typeof x === 'object' && !Array.isArray(x) ? x : {};
/// Characters that would hide, or turn round, what stands beside them are spelled out.
const visible = x => x.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, c => '\\u' + c.codePointAt(0).toString(16).padStart(4, '0'));
const text = x => typeof x === 'string' ? visible(x) : x === null || x === undefined ? '–' : typeof x === 'object' ? visible(JSON.stringify(x)) : String(x);
/// For labels, which have no room to wrap.
const short = (x, most) => [...text(x)].length > most ? [...text(x)].slice(0, most - 1).join('') + '…' : text(x);
/// Three digits that count; very small and very large ones as powers of ten. `full`: zeros at the end stay.
function figure(x, digits = 3, full = false) {
  if (!known(x)) return '–';
  if (x === 0) return '0';
  const size = Math.abs(x);
  if (size >= 1e-3 && size < 1e6) {
    const rounded = Number(x.toPrecision(digits));
    return Math.abs(rounded) >= 10 ** digits ? Math.round(x).toLocaleString('en') : full ? x.toPrecision(digits) : String(rounded);
  }
  const [mantissa, exponent] = x.toExponential(digits - 1).split('e');
  const raised = [...String(Number(exponent))].map(c => '⁰¹²³⁴⁵⁶⁷⁸⁹'[c] || '⁻').join('');
  return mantissa + '·10' + raised;
}
const whole = x => known(x) ? x.toLocaleString('en') : '–';
const percent = (x, digits = 3) => known(x) ? figure(100 * x, digits) + ' %' : '–';
function bytes(x) {
  if (!known(x)) return '–';
  const unit = [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']].find(([size]) => x >= size);
  return unit ? Number((x / unit[0]).toPrecision(3)) + ' ' + unit[1] : x + ' B';
}

/// columns: [{label, get, show, numeric, name}]; rows stay as they are given unless sortable.
function table(caption, columns, rows, options = {}) {
  const show = (c, row) => (c.show || (c.numeric ? v => figure(v, 3, true) : text))(c.get(row));
  const kind = c => c.numeric ? 'num' : c.name ? 'name' : null;
  const lines = rows.map(row => ({row, node: h('tr', null, columns.map((c, i) =>
    h(i ? 'td' : 'th', {class: kind(c), scope: i ? null : 'row'}, show(c, row))))}));
  const body = h('tbody', null, lines.map(l => l.node));
  const heads = columns.map((c, i) => h('th', {scope: 'col', class: kind(c)},
    options.sortable ? h('button', {type: 'button', on: {click: () => sort(i)}}, c.label) : c.label));
  function sort(index, falling) {
    const c = columns[index];
    const down = falling !== undefined ? falling : heads[index].getAttribute('aria-sort') === 'descending' ? false :
      heads[index].getAttribute('aria-sort') === 'ascending' ? true : Boolean(c.numeric);
    heads.forEach(head => head.removeAttribute('aria-sort'));
    heads[index].setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const missing = v => v === null || v === undefined || v !== v;
    lines.sort((a, b) => {
      const x = c.get(a.row), y = c.get(b.row);
      if (missing(x) || missing(y)) return missing(x) - missing(y);  // What is not known comes last.
      const order = c.numeric ? x - y : String(x).localeCompare(String(y), 'en', {numeric: true});
      return down ? -order : order;
    });
    body.append(...lines.map(l => l.node));
  }
  const node = h('div', {class: 'scroll' + (options.tall ? ' tall' : ''), tabindex: 0, role: 'region', 'aria-label': caption},
    h('table', {'aria-label': caption}, h('thead', null, h('tr', null, heads)), body));
  return {node, lines, sort};
}

// ---- Plots: SVG of the width that there is, a cursor for pointer and arrow keys, a line that tells its figures.

const MARKS = [  // a shape beside each colour, for eyes that cannot tell the colours
  (x, y) => s('circle', {cx: x, cy: y, r: 3.2}),
  (x, y) => s('rect', {x: x - 3, y: y - 3, width: 6, height: 6}),
  (x, y) => s('path', {d: `M${x} ${y - 4}l4 7h-8z`}),
  (x, y) => s('path', {d: `M${x} ${y - 4.2}l4.2 4.2l-4.2 4.2l-4.2 -4.2z`}),
  (x, y) => s('path', {d: `M${x - 3.5} ${y - 3.5}l7 7m0 -7l-7 7`, class: 'cross'}),
];
const color = i => `var(--c${i % 5})`;
function mark(i, x, y) {
  const shape = MARKS[i % 5](x, y);
  shape.style.cssText = i % 5 === 4 ? `stroke:${color(i)};stroke-width:2` : `fill:${color(i)}`;
  return shape;
}

function legend(names) {
  return h('ul', {class: 'legend'}, names.map(([name, i, drawn]) => h('li', null,
    s('svg', {'aria-hidden': 'true', viewBox: '0 0 26 14'},
      drawn === false ? null : s('path', {d: 'M0 7h26', class: 'line', css: `stroke:${color(i)}`}), mark(i, 13, 7)), name)));
}

/// draw(svg, width) fills the plot and returns targets {x, y, w, h, row, tell}, in reading order.
function plot({label, height, draw, columns, rows}) {
  // Said once; the line stays free below the other plots, so that nothing moves when it is filled.
  const hint = document.querySelector('.readout') ? '\u00a0' : 'Point at a plot, or move through it with the arrow keys, for its figures.';
  const svg = s('svg', {role: 'img', tabindex: 0, 'aria-label': label, height});
  const readout = h('p', {class: 'readout soft', 'aria-live': 'polite'}, hint);
  let targets = [], at = -1, cursor = null, width = 0;
  function render() {
    width = Math.max(svg.parentNode ? svg.parentNode.clientWidth : 0, 260);
    svg.replaceChildren();
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    targets = draw(svg, width) || [];
    cursor = s('rect', {class: 'cursor', rx: 1, visibility: 'hidden'});
    svg.append(cursor);
    at = -1;
  }
  function select(index) {
    if (index < 0 || index >= targets.length) return;
    at = index;
    const t = targets[at], w = t.w || 12, tall = t.h || 12;
    fill(cursor, {x: t.x - w / 2, y: t.y - tall / 2, width: w, height: tall, visibility: 'visible'}, []);
    readout.textContent = t.tell;
    readout.classList.remove('soft');
  }
  function point(event) {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * width / box.width, y = event.clientY - box.top;
    let best = -1, least = Infinity;
    targets.forEach((t, i) => {
      const dx = Math.max(Math.abs(t.x - x) - (t.w || 0) / 2, 0), dy = Math.max(Math.abs(t.y - y) - (t.h || 0) / 2, 0);
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = i; }
    });
    if (least < 900) select(best);
  }
  function step(event) {
    const rows = {ArrowUp: -1, ArrowDown: 1}[event.key], columns = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!rows && !columns && event.key !== 'Home' && event.key !== 'End') return;
    event.preventDefault();
    if (event.key === 'Home' || at < 0) return select(0);
    if (event.key === 'End') return select(targets.length - 1);
    if (columns) {
      const next = targets[at + columns];
      return next && next.row === targets[at].row ? select(at + columns) : undefined;
    }
    const ids = [...new Set(targets.map(t => t.row))], wanted = ids[ids.indexOf(targets[at].row) + rows];
    let best = -1;
    targets.forEach((t, i) => {
      if (t.row === wanted && (best < 0 || Math.abs(t.x - targets[at].x) < Math.abs(targets[best].x - targets[at].x))) best = i;
    });
    select(best);
  }
  for (const type of ['pointermove', 'pointerdown']) svg.addEventListener(type, point);
  svg.addEventListener('keydown', step);
  const details = h('details', {on: {toggle: () => {
    if (details.open && details.childElementCount === 1) details.append(table(label, columns, rows(), {tall: true}).node);
  }}}, h('summary', null, 'As a table'));
  const node = h('figure', null, h('div', {css: `min-height:${height}px`}, svg), readout, columns ? details : null);
  const redraw = () => {
    render();
    readout.textContent = hint;
    readout.classList.add('soft');
    while (details.childElementCount > 1) details.lastChild.remove();
    details.open = false;
  };
  new ResizeObserver(() => { if (Math.abs(svg.parentNode.clientWidth - width) > 1) render(); }).observe(svg.parentNode);
  return {node, redraw};
}

function linear(low, high, from, to) {
  const span = high - low || 1;
  const scale = v => from + (v - low) / span * (to - from);
  const rough = span / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(m => m * power).find(m => m >= rough);
  scale.ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) scale.ticks.push(k * step);
  scale.show = v => String(Number(v.toPrecision(6)));
  return scale;
}
function logarithmic(low, high, from, to) {
  const a = Math.log10(low), b = Math.max(Math.log10(high), a + 1e-6);
  const scale = v => from + (Math.log10(Math.max(v, low)) - a) / (b - a) * (to - from);
  scale.ticks = [];
  const every = Math.ceil((b - a) / 6);
  for (let k = Math.ceil(a - 1e-9); k <= b + 1e-9; k += every) scale.ticks.push(10 ** k);
  if (scale.ticks.length < 2)
    scale.ticks = [1, 2, 5].flatMap(m => [10 ** Math.floor(a) * m, 10 ** Math.floor(b) * m]).filter(v => v >= low * .999 && v <= high * 1.001);
  scale.ticks = [...new Set(scale.ticks)];
  scale.show = v => figure(v, 2);
  return scale;
}

/// The frame of a plot with numbers on both axes; returns where the lines go.
function axes(svg, box, x, y, xName, yName) {
  svg.append(s('text', {x: 0, y: 12}, yName));
  for (const v of y.ticks)
    svg.append(s('path', {class: 'axis', d: `M${box.left} ${y(v)}H${box.right}`}),
      s('text', {x: box.left - 7, y: y(v) + 4, 'text-anchor': 'end'}, y.show(v)));
  for (const v of x.ticks)
    svg.append(s('text', {x: x(v), y: box.bottom + 18, 'text-anchor': 'middle'}, x.show(v)));
  svg.append(s('path', {class: 'axis', d: `M${box.left} ${box.bottom}H${box.right}`}),
    s('text', {x: box.right, y: box.bottom + 36, 'text-anchor': 'end'}, xName));
}

/// series: [{name, points: [{x, y, tell}], style, marks, faint}] over a common x; log: x and y.
function lines(svg, width, height, {series, xName, yName, logX, logY, range, integers}) {
  const all = series.flatMap(one => one.points).filter(p => known(p.y) && (!logY || p.y > 0));
  const box = {left: 56, right: width - 8, top: 26, bottom: height - 42};
  if (!all.length) return [];
  const xs = all.map(p => p.x), ys = all.map(p => p.y);
  const lowest = Math.min(...xs), highest = Math.max(...xs);
  const [low, high] = range || (logY ? [Math.min(...ys) / 1.15, Math.max(...ys) * 1.15] : [Math.min(0, ...ys), Math.max(...ys) * 1.05 || 1]);
  const pad = logX ? 0 : 6;
  const x = (logX ? logarithmic : linear)(lowest, Math.max(highest, lowest + (logX ? 1e-3 : 1)), box.left + pad, box.right - pad);
  if (integers) x.ticks = x.ticks.filter(Number.isInteger);
  const y = (logY ? logarithmic : linear)(low, high, box.bottom, box.top);
  axes(svg, box, x, y, xName, yName);
  const targets = [];
  for (const one of series) {
    const points = one.points.filter(p => known(p.y) && (!logY || p.y > 0));
    const group = s('g', {class: one.faint ? 'faint' : null});
    if (one.line !== false)
      group.append(s('path', {class: 'line', css: `stroke:${color(one.style)}` + (one.faint ? ';stroke-dasharray:4 3' : ''),
        d: points.map((p, i) => (i ? 'L' : 'M') + x(p.x).toFixed(1) + ' ' + y(p.y).toFixed(1)).join('')}));
    const crowded = points.length > (box.right - box.left) / 9;
    if (one.marks !== false) points.forEach((p, i) => {
      if (!crowded || one.line === false || i % Math.ceil(points.length / 24) === 0) group.append(mark(one.style, x(p.x), y(p.y)));
    });
    svg.append(group);
    points.forEach(p => targets.push({x: x(p.x), y: y(p.y), row: one.name, tell: p.tell}));
  }
  return targets;
}
