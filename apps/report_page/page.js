
// ---- The report, section by section. The document is the one that apps/quality_report.hpp describes; its `inputs` come
// thinned: range_before and range_after hold ranks [n] and values [n] (the channel of that rank) in place of abs_max, outliers
// are [{column, rank, before, after}], the largest first, and outlier_count says how many there are.

const R = object(JSON.parse(document.getElementById('report').textContent));
const tensors = list(R.tensors).map(object), inputs = list(R.inputs).map(object);
const file = object(R.file), source = object(R.source), model = object(R.model), recipe = object(R.recipe);
const evaluation = R.evaluation ? object(R.evaluation) : null;
const ROLES = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'];
const SITES = ['qkv', 'o', 'gate_up', 'down', 'head'];
// Without a prototype: a site may be named like one of its members.
const reads = Object.assign(Object.create(null), {qkv: 'input of q, k, v', o: 'input of o', gate_up: 'input of gate, up', down: 'input of down', head: 'input of the head'});
const inputName = i => reads[i.site] || text(i.site);
const inLayer = t => known(t.layer) && t.layer >= 0;
const distinct = values => [...new Set(values)];
const ordered = (values, order) => distinct(values).sort((a, b) => {
  const at = v => order.includes(v) ? order.indexOf(v) : order.length;
  return at(a) - at(b) || String(a).localeCompare(String(b), 'en');
});
const rounded = t => inLayer(t) && t.rounding !== "none"; // norms are not
const roles = ordered((tensors.some(rounded) ? tensors.filter(rounded) : tensors.filter(inLayer)).map(t => text(t.role)), ROLES);
const before = t => object(t.output_error).before, after = t => object(t.output_error).after;
const count = (t, key) => object(t.counts)[key];
const missing = words => h('p', {class: 'missing'}, words.split(/(--[a-z]+(?: TEXT)?)/).map((part, i) => i % 2 ? h('code', null, part) : part));
const page = document.getElementById('page');
function section(id, title, lead, ...content) {
  page.append(h('section', {id, 'aria-labelledby': id + '-title'}, h('h2', {id: id + '-title'}, title),
    lead ? h('p', {class: 'lead'}, lead) : null, content));
}
function choose(name, options, change) {
  return h('fieldset', null, h('legend', null, name), options.map(([value, label], i) => h('label', null,
    h('input', {type: 'radio', name: 'choice-' + name, value, checked: i === 0, on: {change: () => change(value)}}), label)));
}
function select(name, options, change) {
  const node = h('select', {on: {change: () => change(node.value)}},
    options.map(([value, label]) => h('option', {value}, short(label, 40))));
  return {node: h('label', null, name, node), box: node};
}

function verdict() {
  const e = object(evaluation), from = object(e.source), to = object(e.file), kl = object(e.kl), more = object(e.increase);
  const increase = known(more.percent) ? more.percent : (to.perplexity / from.perplexity - 1) * 100;
  const signed = x => (x < 0 ? '−' : '+') + figure(Math.abs(x));
  const error = known(more.standard_error_percent) ? ' ± ' + figure(more.standard_error_percent, 2) : '';
  const items = [
    ['Size', bytes(file.bytes), known(source.bytes) && known(file.bytes) ? `source ${bytes(source.bytes)}, ${figure(source.bytes / file.bytes)} times as large` : ''],
    ['Bits per weight', figure(file.bits_per_weight), text(recipe.method)],
  ];
  if (evaluation) items.push(
    ['Perplexity', figure(to.perplexity, 4), `source ${figure(from.perplexity, 4)}; ${signed(increase)}${error} %`],
    ['KL divergence', figure(kl.mean), `nats per token from the source; 99 % of tokens below ${figure(kl.p99)}`],
    ['Same first choice', percent(e.top1_agreement), 'of tokens: the likeliest next one is the source’s']);
  const shape = [model.architecture && text(model.architecture), known(model.layers) && `${model.layers} layers`, known(model.hidden_size) && `hidden size ${model.hidden_size}`];
  page.append(h('header', null, h('h1', null, text(file.name)),
    h('p', {class: 'lead'}, ['Converted from ' + text(source.name), ...shape].filter(Boolean).join(' · ')),
    h('dl', {class: 'figures'}, items.map(([name, value, note]) => h('div', null, h('dt', null, name), h('dd', null, value), h('dd', null, note)))),
    evaluation ? null : missing('How well the file does was not measured. Convert with --eval TEXT for perplexity, KL divergence and agreement with the source.'),
    list(R.warnings).length ? h('p', null, h('a', {href: '#made'}, `${list(R.warnings).length} warning${list(R.warnings).length > 1 ? 's' : ''}, at the end of this page`)) : null));
  document.title = text(file.name) + ' – conversion report';
}

function heatMap() {
  const mapped = tensors.filter(inLayer);
  const some = get => mapped.some(t => known(get(t)));
  const measures = [
    ['after', 'Layer outputs', after, 'relative squared error of the layer’s output'],
    ['before', 'Outputs, plain rounding', before, 'relative squared error of the output under plain rounding'],
    ['ratio', 'Change by the method', t => before(t) > 0 ? after(t) / before(t) : NaN, 'output error, as a multiple of plain rounding’s'],
    ['weights', 'Weights', t => t.relative_error, 'squared error over the energy of the weights'],
  ].filter(([, , get]) => some(get));
  if (!measures.length) return section('errors', 'Error by layer', null, missing('No errors were recorded for tensors inside layers.'));
  let chosen = measures[0];
  const layers = distinct(mapped.map(t => t.layer)).sort((a, b) => a - b);
  const limits = () => {
    const values = mapped.map(chosen[2]).filter(v => known(v) && v > 0).sort((a, b) => a - b);
    if (!values.length) return [1e-9, 1];
    const at = share => values[Math.round(share * (values.length - 1))];
    if (chosen[0] !== 'ratio') return [at(.02), at(.98)];
    const far = Math.max(1 / at(.02), at(.98), 1.05);
    return [1 / far, far];
  };
  const tone = (v, [low, high]) => {
    if (!known(v)) return 'transparent';
    const t = Math.min(Math.max((Math.log(Math.max(v, 1e-300)) - Math.log(low)) / (Math.log(high) - Math.log(low) || 1), 0), 1);
    if (chosen[0] !== 'ratio') return `color-mix(in oklab, var(--high) ${(100 * t).toFixed(1)}%, var(--low))`;
    return `color-mix(in oklab, var(--${t < .5 ? 'better' : 'worse'}) ${(200 * Math.abs(t - .5)).toFixed(1)}%, var(--low))`;
  };
  const tell = t => `Layer ${t.layer}, ${text(t.role)}: weights ${figure(t.relative_error)}` +
    (known(after(t)) ? `; output ${figure(after(t))}` + (known(before(t)) ? `, plain rounding ${figure(before(t))}` : '') : '') + `. ${text(t.name)}`;
  const row = 30, height = roles.length * row + 46;
  const chart = plot({
    label: 'Error of each matrix: layers across, kinds of matrix down', height,
    draw(svg, width) {
      const left = 52, cell = (width - left) / layers.length, range = limits(), targets = [];
      roles.forEach((role, r) => {
        svg.append(s('text', {x: left - 8, y: r * row + row / 2 + 4, 'text-anchor': 'end'}, short(role, 6)));
        for (const t of mapped) if (text(t.role) === role) {
          const at = layers.indexOf(t.layer), gap = cell > 8 ? 1.5 : .4, v = chosen[2](t);
          svg.append(s('rect', {class: 'cell', x: left + at * cell, y: r * row, width: cell - gap, height: row - 1.5,
            css: `fill:${tone(v, range)}` + (known(v) ? '' : ';stroke:var(--rule)')}));
          targets.push({x: left + (at + .5) * cell, y: (r + .5) * row, w: cell, h: row, row: role, order: r * 1e6 + at, tell: tell(t)});
        }
      });
      const every = Math.ceil(26 / cell);
      layers.forEach((layer, i) => {
        if (i % every === 0) svg.append(s('text', {x: left + (i + .5) * cell, y: roles.length * row + 16, 'text-anchor': 'middle'}, String(layer)));
      });
      svg.append(s('text', {x: width, y: roles.length * row + 36, 'text-anchor': 'end'}, 'layer'));
      return targets.sort((a, b) => a.order - b.order);
    },
    columns: [{label: 'Layer', get: t => t.layer, show: text}, {label: 'Kind', get: t => t.role}, {label: 'Weights', get: t => t.relative_error, numeric: true},
      {label: 'Output, plain rounding', get: before, numeric: true}, {label: 'Output', get: after, numeric: true}],
    rows: () => mapped,
  });
  const key = h('ul', {class: 'legend'});
  const describe = () => {
    const [low, high] = limits(), ratio = chosen[0] === 'ratio';
    key.replaceChildren(h('li', null, figure(low, 2), h('span', {class: 'ramp', role: 'img', 'aria-label': 'scale of colours, logarithmic',
      css: `background:linear-gradient(in oklab to right,${ratio ? 'var(--better),var(--low),var(--worse)' : 'var(--low),var(--high)'})`}), figure(high, 2)),
      h('li', null, chosen[3] + (ratio ? ' (below 1: better)' : '')));
  };
  const controls = measures.length > 1 ? h('div', {class: 'controls'}, choose('Show', measures.map(([id, name]) => [id, name]), value => {
    chosen = measures.find(m => m[0] === value);
    describe();
    chart.redraw();
  })) : null;
  describe();
  const outside = tensors.filter(t => !inLayer(t) && known(t.relative_error) && t.relative_error > 0);
  section('errors', 'Error by layer', 'What rounding cost, matrix by matrix, on a logarithmic scale.', controls, key, chart.node,
    outside.length ? h('p', {class: 'soft'}, 'Outside the layers: ' + outside.map(t => `${text(t.role)} ${figure(t.relative_error)}`).join(', ') + ' (weights).') : null,
    some(after) ? null : missing('Errors of layer outputs need calibration: --calib TEXT.'));
}

const COLUMNS = [
  {label: 'Tensor', get: t => t.name, name: true}, {label: 'Kind', get: t => t.role},
  {label: 'Layer', get: t => inLayer(t) ? t.layer : null, show: text, numeric: true},
  {label: 'Output error', get: after, numeric: true}, {label: 'Output, plain', get: before, numeric: true},
  {label: 'Weights’ error', get: t => t.relative_error, numeric: true},
  {label: 'Bits', get: t => t.bits_per_weight, numeric: true}, {label: 'Size', get: t => t.bytes, show: bytes, numeric: true},
  {label: 'Encoding', get: t => t.encoding}, {label: 'Method', get: t => t.method}, {label: 'Rounding', get: t => t.rounding},
  {label: 'Shape', get: t => known(t.rows) ? `${t.rows} × ${t.columns}` : null},
  {label: 'Clipped', get: t => t.clipped, show: percent, numeric: true},
  {label: 'Range', get: t => t.range},
  {label: 'Clipped groups', get: t => object(t.clip).groups, show: whole, numeric: true},
  {label: 'Unclipped', get: t => object(t.clip).error_before, numeric: true},
  {label: 'With clips', get: t => object(t.clip).error_after, numeric: true},
  {label: 'Saturated', get: t => count(t, 'saturated'), show: whole, numeric: true},
  {label: 'Underflowed', get: t => count(t, 'underflowed'), show: whole, numeric: true},
  {label: 'Zero rows', get: t => count(t, 'zero_rows'), show: whole, numeric: true},
  {label: 'Lifted zeros', get: t => count(t, 'lifted_zeros'), show: whole, numeric: true},
  {label: 'Rank', get: t => object(t.low_rank).rank, show: whole, numeric: true},
  {label: 'Before low rank', get: t => object(t.low_rank).error_before, numeric: true},
  {label: 'With low rank', get: t => object(t.low_rank).error_after, numeric: true},
];
const column = label => COLUMNS.find(c => c.label === label);

function tensorTables() {
  if (!tensors.length) return section('tensors', 'Tensors', null, missing('The report lists no tensors.'));
  const measured = tensors.some(t => known(after(t))), measure = measured ? after : t => t.relative_error;
  const worst = tensors.filter(t => known(measure(t)) && measure(t) > 0).sort((a, b) => measure(b) - measure(a)).slice(0, 10);
  const brief = ['Tensor', ...(measured ? ['Output error', 'Output, plain'] : []), 'Weights’ error', 'Bits', 'Encoding', 'Method'].map(column);
  const shown = COLUMNS.filter(c => c.name || tensors.some(t => { const v = c.get(t); return v !== null && v !== undefined; }));
  const all = table('All tensors', shown, tensors, {sortable: true, tall: true});
  const heard = h('span', {'aria-live': 'polite', class: 'soft'});
  const words = h('input', {type: 'search', id: 'filter', autocomplete: 'off', spellcheck: 'false', on: {input: narrow}});
  const kinds = ordered(tensors.map(t => text(t.role)), ROLES);
  const kind = select('Kind', [['', 'all'], ...kinds.map((k, i) => [String(i), k])], narrow);
  function narrow() {
    const wanted = words.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const {row, node} of all.lines) {
      const about = [row.name, row.role, row.method, row.rounding, row.encoding].map(text).join(' ').toLowerCase();
      const fits = wanted.every(w => about.includes(w)) && (kind.box.value === '' || text(row.role) === kinds[kind.box.value]);
      node.hidden = !fits;
      left += fits;
    }
    heard.textContent = `${left} of ${tensors.length}`;
  }
  narrow();
  section('tensors', 'Tensors', null, h('h3', null, worst.length === 1 ? 'The worst' : `The ${worst.length < 10 ? worst.length : 'ten'} worst`),
    worst.length ? [h('p', {class: 'soft'}, measured ? 'By the error of the layer’s output on the calibration text.' : 'By the error of the weights.'),
      table('The worst tensors', brief, worst).node] : missing('No tensor lost anything.'),
    h('h3', null, 'All'), h('div', {class: 'controls'}, h('label', null, 'Filter', words), kind.node, heard), all.node);
}

function smoothing() {
  const smoothed = inputs.filter(i => known(object(i.smoothing).alpha));
  const title = 'Smoothing';
  if (!smoothed.length) return section('alpha', title, null, missing('No input was smoothed. Methods that scale channels before rounding are chosen with --method.'));
  const sites = ordered(smoothed.map(i => text(i.site)), SITES), layerOf = i => inLayer(i) ? i.layer : model.layers;
  const tell = i => `Layer ${text(i.layer)}, ${inputName(i)}: alpha ${figure(i.smoothing.alpha)}, ${text(i.smoothing.method)}, ${text(i.smoothing.state)}` +
    (known(i.smoothing.loss_before) ? `; loss ${figure(i.smoothing.loss_before)} before, ${figure(i.smoothing.loss_after)} after` : '') + '.';
  const series = sites.map(site => ({name: site, style: SITES.includes(site) ? SITES.indexOf(site) : 4,
    points: smoothed.filter(i => text(i.site) === site).map(i => ({x: layerOf(i), y: i.smoothing.alpha, tell: tell(i)})).sort((a, b) => a.x - b.x)}));
  const chart = plot({label: 'Alpha of each input over the layers', height: 250,
    draw: (svg, width) => lines(svg, width, 250, {series, xName: 'layer', yName: 'alpha', range: [0, Math.max(1, ...smoothed.map(i => i.smoothing.alpha))], integers: true}),
    columns: [{label: 'Layer', get: i => i.layer, show: text}, {label: 'Site', get: i => i.site}, {label: 'Method', get: i => i.smoothing.method}, {label: 'Alpha', get: i => i.smoothing.alpha, numeric: true},
      {label: 'State', get: i => i.smoothing.state}, {label: 'Loss before', get: i => i.smoothing.loss_before, numeric: true}, {label: 'Loss after', get: i => i.smoothing.loss_after, numeric: true}],
    rows: () => smoothed});
  section('alpha', title, 'How far each input’s range moved into the weights: 0 leaves it in the activations, 1 moves all of it.',
    legend(series.map(one => [reads[one.name] || one.name, one.style])), chart.node);
}

function activations() {
  const title = 'Activations by channel', ranged = inputs.filter(i => list(object(i.range_before).values).length);
  if (!ranged.length) return section('channels', title, null, missing('Ranges of activations need calibration: --calib TEXT.'));
  const sites = ordered(ranged.map(i => text(i.site)), SITES);
  let shown = ranged.find(i => list(i.outliers).length) || ranged[0];
  const points = (range, name) => list(range.values).map((y, i) => ({x: range.ranks[i], y, tell: `${name}: the channel of rank ${whole(range.ranks[i])} reaches ${figure(y)}.`}));
  const floor = values => Math.max(...values) * 1e-7;
  const chart = plot({label: 'Largest absolute value of each channel, channels sorted by it', height: 290,
    draw(svg, width) {
      const first = object(shown.range_before), second = shown.range_after ? object(shown.range_after) : null, least = floor(first.values);
      const series = [{name: 'before', style: 0, marks: false, points: points(first, second ? 'Before smoothing' : 'Activations')}];
      if (second) series.push({name: 'after', style: 1, marks: false, points: points(second, 'After smoothing')});
      series.forEach(one => { one.points = one.points.map(p => ({...p, y: Math.max(p.y, least)})); });
      series.push({name: 'outliers', style: 2, line: false, points: list(shown.outliers).map(o => ({x: o.rank, y: Math.max(o.before, least),
        tell: `Outlier: channel ${o.column} reaches ${figure(o.before)}` + (known(o.after) ? `, after smoothing ${figure(o.after)}.` : '.')}))});
      return lines(svg, width, 290, {series, xName: 'channels, by rank', yName: 'largest absolute value', logX: true, logY: true});
    },
    columns: [{label: 'Channel', get: o => o.column, show: whole}, {label: 'Rank', get: o => o.rank, show: whole, numeric: true},
      {label: 'Before', get: o => o.before, numeric: true}, {label: 'After', get: o => o.after, numeric: true}],
    rows: () => list(shown.outliers).length ? list(shown.outliers) :
      list(shown.range_before.values).map((v, i) => ({column: null, rank: shown.range_before.ranks[i], before: v}))});
  const note = h('p', {class: 'soft', 'aria-live': 'polite'}), key = h('div');
  function describe() {
    const first = object(shown.range_before), second = shown.range_after ? object(shown.range_after) : null, total = shown.outlier_count || 0;
    const range = r => `median ${figure(r.q50)}, 99 % ${figure(r.q99)}, largest ${figure(r.max)}`;
    note.textContent = `${whole(shown.columns)} channels, computed as ${text(shown.activation)}. ` + (second ? `Before: ${range(first)}. After: ${range(second)}.` : `Channels: ${range(first)}.`) +
      (total ? ` ${whole(total)} outlier column${total > 1 ? 's' : ''}${total > list(shown.outliers).length ? `, the largest ${list(shown.outliers).length} marked` : ''}.` : '');
    key.replaceChildren(legend([[second ? 'before smoothing' : 'activations', 0], ...(second ? [['after smoothing', 1]] : []), ...(total ? [['outlier columns', 2, false]] : [])]));
  }
  const layer = select('Layer', [], () => pick());
  const site = select('Site', sites.map((name, i) => [String(i), reads[name] || name]), () => { layers(0); pick(); });
  const here = () => ranged.filter(i => text(i.site) === sites[site.box.value]);
  function layers() {
    const kept = layer.box.selectedIndex;
    layer.box.replaceChildren(...here().map((i, at) => h('option', {value: at}, inLayer(i) ? String(i.layer) : '–')));
    layer.box.selectedIndex = Math.min(Math.max(kept, 0), layer.box.length - 1);
  }
  function pick() { shown = here()[layer.box.selectedIndex]; describe(); chart.redraw(); }
  site.box.value = String(sites.indexOf(text(shown.site)));
  layers();
  layer.box.selectedIndex = here().indexOf(shown);
  describe();
  section('channels', title, 'How unequal the channels are. Both axes are logarithmic; each curve is sorted on its own.',
    h('div', {class: 'controls'}, site.node, layer.node), key, chart.node, note);
}

function weights() {
  const ranged = tensors.filter(t => inLayer(t) && known(object(t.weight_range_before).abs_max)), clipped = tensors.filter(t => inLayer(t) && known(t.clipped));
  const kinds = ordered([...ranged, ...clipped].map(t => text(t.role)), ROLES);
  if (!kinds.length) return section('weights', 'Weights', null, missing('Ranges of the weights were not recorded.'));
  let role = kinds.includes('down') ? 'down' : kinds[0];
  const mine = from => from.filter(t => text(t.role) === role).sort((a, b) => a.layer - b.layer);
  const changed = () => mine(ranged).some(t => known(object(t.weight_range_after).abs_max));
  const series = () => [['weight_range_before', 'abs_max', 'largest', 0], changed() && ['weight_range_after', 'abs_max', 'largest, after', 1],
    ['weight_range_before', 'q99', '99 % below', 2], changed() && ['weight_range_after', 'q99', '99 % below, after', 3]].filter(Boolean)
    .map(([range, key, name, style]) => ({name, style, points: mine(ranged).map(t => ({x: t.layer, y: object(t[range])[key],
      tell: `Layer ${t.layer}, ${role}, ${name}: ${figure(object(t[range])[key])}.`}))}));
  const one = plot({label: 'Ranges of the weights over the layers', height: 270,
    draw: (svg, width) => lines(svg, width, 270, {series: series(), xName: 'layer', yName: 'absolute value', logY: true, integers: true}),
    columns: [{label: 'Layer', get: t => t.layer, show: text}, ...[['Largest', 'weight_range_before', 'abs_max'], ['99 % below', 'weight_range_before', 'q99'], ['Largest, after', 'weight_range_after', 'abs_max'], ['99 % below, after', 'weight_range_after', 'q99']]
      .map(([label, range, key]) => ({label, get: t => object(t[range])[key], numeric: true})), {label: 'Clipped', get: t => t.clipped, show: percent, numeric: true}],
    rows: () => mine(tensors)});
  const two = plot({label: 'Share of clipped weights over the layers', height: 170,
    draw: (svg, width) => lines(svg, width, 170, {series: [{name: 'clipped', style: 4, points: mine(clipped).map(t => ({x: t.layer, y: 100 * t.clipped, tell: `Layer ${t.layer}, ${role}: ${percent(t.clipped)} of the weights clipped.`}))}],
      xName: 'layer', yName: 'clipped, % of the weights', integers: true})});
  const key = h('div');
  const describe = () => key.replaceChildren(legend(series().map(x => [x.name, x.style])));
  const pick = select('Kind', kinds.map((k, i) => [String(i), k]), value => { role = kinds[value]; describe(); one.redraw(); two.redraw(); });
  pick.box.value = String(kinds.indexOf(role));
  describe();
  section('weights', 'Weights', 'What had to be represented, and how much of it was cut off to represent the rest better.', h('div', {class: 'controls'}, pick.node),
    ranged.length ? [key, one.node] : null, clipped.length ? two.node : null);
}

function sizes() {
  const kinds = ordered(tensors.filter(t => known(t.bytes)).map(t => text(t.role)), ['embedding', 'head', ...ROLES]);
  if (!kinds.length) return section('sizes', 'Where the bytes go', null, missing('Sizes were not recorded.'));
  const rows = kinds.map(kind => {
    const mine = tensors.filter(t => text(t.role) === kind && known(t.bytes)), weighed = mine.filter(t => known(t.bits_per_weight));
    const total = mine.reduce((sum, t) => sum + t.bytes, 0), elements = weighed.reduce((sum, t) => sum + t.rows * t.columns, 0);
    return {kind, bytes: total, number: mine.length, bits: elements ? weighed.reduce((sum, t) => sum + t.bits_per_weight * t.rows * t.columns, 0) / elements : NaN};
  }).sort((a, b) => b.bytes - a.bytes);
  const sum = rows.reduce((x, r) => x + r.bytes, 0), whole_ = known(file.bytes) ? Math.max(file.bytes, sum) : sum;
  if (whole_ > sum) rows.push({kind: 'everything else', bytes: whole_ - sum, number: null, bits: NaN});
  const tell = r => `${r.kind}: ${bytes(r.bytes)}, ${percent(r.bytes / whole_)}` + (known(r.bits) ? `, ${figure(r.bits)} bits per weight` : '');
  const line = 38, largest = Math.max(...rows.map(r => r.bytes));
  const chart = plot({label: 'Bytes of the file by kind of tensor', height: rows.length * line + 4,
    draw: (svg, width) => rows.map((r, i) => {
      const y = i * line, long = Math.max((width - 1) * r.bytes / largest, 1);
      svg.append(s('text', {x: 0, y: y + 14}, short(r.kind, 16)), s('text', {x: width, y: y + 14, 'text-anchor': 'end'}, tell(r).slice(r.kind.length + 2)),
        s('rect', {x: 0, y: y + 20, width: long, height: 10, css: `fill:${r.number === null ? 'var(--rule)' : color(0)}`}));
      return {x: width / 2, y: y + 18, w: width, h: line - 4, row: i, tell: tell(r) + (r.number ? `, ${whole(r.number)} tensors.` : '.')};
    }),
    columns: [{label: 'Kind', get: r => r.kind}, {label: 'Tensors', get: r => r.number, show: whole, numeric: true}, {label: 'Size', get: r => r.bytes, show: bytes, numeric: true},
      {label: 'Share', get: r => r.bytes / whole_, show: percent, numeric: true}, {label: 'Bits per weight', get: r => r.bits, numeric: true}],
    rows: () => rows});
  section('sizes', 'Where the bytes go', null, chart.node);
}

function windows() {
  const each = list(object(evaluation).per_window).map(object).filter(w => known(w.source) && known(w.file));
  if (each.length < 2) return;
  const change = w => 100 * Math.expm1(w.file - w.source);
  const tell = (w, i) => `Window ${i}: perplexity ${figure(Math.exp(w.file), 4)}, source ${figure(Math.exp(w.source), 4)} (${change(w) < 0 ? '−' : '+'}${figure(Math.abs(change(w)))} %); KL ${figure(w.kl)}.`;
  const values = each.map(change), low = Math.min(0, ...values), high = Math.max(0, ...values), room = (high - low) * .06 || 1;
  const chart = plot({label: 'Change of perplexity in each window of the text', height: 230,
    draw: (svg, width) => lines(svg, width, 230, {series: [{name: 'change', style: 0, line: false, points: each.map((w, i) => ({x: i, y: values[i], tell: tell(w, i)}))}],
      xName: 'window of the text', yName: 'perplexity against the source, %', range: [low - (low < 0 ? room : 0), high + room], integers: true}),
    columns: [{label: 'Window', get: w => w.index, show: text}, {label: 'Source’s perplexity', get: w => Math.exp(w.source), show: v => figure(v, 4), numeric: true},
      {label: 'File’s perplexity', get: w => Math.exp(w.file), show: v => figure(v, 4), numeric: true}, {label: 'Change, %', get: change, numeric: true}, {label: 'KL', get: w => w.kl, numeric: true}],
    rows: () => each.map((w, index) => ({...w, index}))});
  section('windows', 'Window by window', 'One point for each window of the evaluation text; 0 is the source.', chart.node);
}

function made() {
  const about = (t, extra) => {
    const o = object(t);
    return [text(o.name), o.percent && `lines ${list(o.percent).join(' to ')} %`, o.xxh3 && `XXH3 ${text(o.xxh3)}`, extra].filter(Boolean).join(', ');
  };
  const c = R.calibration ? object(R.calibration) : null, e = object(evaluation);
  const rest = Object.entries(recipe).filter(([key]) => key !== 'method' && key !== 'command');
  const facts = [['Method', text(recipe.method)], ...rest.map(([key, value]) => [key, text(value)]),
    known(R.seconds) && ['Time', figure(R.seconds) + ' s'], ['Source', `${text(source.name)}, ${bytes(source.bytes)}`],
    ['File', `${text(file.name)}, ${bytes(file.bytes)}` + (file.xxh3 ? `, XXH3 ${text(file.xxh3)}` : '')],
    c && ['Calibrated on', about(c.text, `${whole(c.windows)} windows of ${whole(c.length)} tokens`)],
    evaluation && ['Evaluated on', about(e.text, `${whole(e.windows)} windows of ${whole(e.length)} tokens, ${whole(e.tokens)} of them scored`)]].filter(Boolean);
  section('made', 'How it was made', null, recipe.command ? h('pre', null, h('code', null, text(recipe.command))) : null,
    h('dl', {class: 'facts'}, facts.flatMap(([name, value]) => [h('dt', null, text(name)), h('dd', null, value)])),
    c ? null : missing('Nothing was calibrated: --calib TEXT lets a method see what flows through the model.'),
    list(R.warnings).length ? [h('h3', null, 'Warnings'), h('ul', {class: 'warnings'}, list(R.warnings).map(w => h('li', null, text(w))))] : h('p', {class: 'soft'}, 'No warnings.'));
}

const MEANINGS = [
  ['Weights’ error', 'the sum of the squared differences between stored and given weights, over the sum of the given weights’ squares'],
  ['Output error', 'the same for what a matrix puts out on the calibration text; plain: with every weight rounded to nearest'],
  ['KL divergence', 'how far the file’s distribution of the next token is from the source’s, in nats; 0 is the same'],
  ['Perplexity', 'the exponential of the mean negative log-likelihood of a token; ± is the standard error of the change, paired by window'],
  ['Alpha', 'the power of a channel’s size by which it is scaled down before rounding, and its weights up'],
  ['Clipped', 'share of the weights beyond the range that was chosen for their group'],
  ['Saturated, underflowed', 'scales or values too large for the type they are stored in, and groups or values that became 0'],
  ['Zero rows, lifted zeros', 'rows without a weight other than 0, and groups of zeros that became something else'],
];

function meanings() {
  document.getElementById('made').append(h('details', {id: 'meanings'}, h('summary', null, 'What the figures mean'),
    h('dl', {class: 'facts'}, MEANINGS.flatMap(([name, words]) => [h('dt', null, name), h('dd', null, words)]))));
}

for (const part of [verdict, heatMap, tensorTables, smoothing, activations, weights, sizes, windows, made, meanings]) part();
