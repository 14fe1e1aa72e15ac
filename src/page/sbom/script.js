const documents = data.documents;
const number = (count) => count.toLocaleString('en');
const counted = (count, one, several) => number(count) + ' ' + (count === 1 ? one : several);
// What a document is about: images have the names that people know.
for (const one of documents) {
  const [kind, name, version] = one.source;
  one.label = kind === 'image' && name ? name + (!version ? '' : version.includes(':') ? '@' + version : ':' + version) : one.name;
}
const short = (layer) => data.layers[layer].replace(/^sha256:/, '').slice(0, 12);

// Every package of every document.
const packages = [];
documents.forEach((one, at) => {
  const positions = new Map(one.order.map((layer, position) => [layer, position + 1]));
  for (const [name, version, kind, licences, places, purl, more] of one.packages) {
    const layers = [...new Set(places.map((place) => place[1]).filter((layer) => layer !== null))];
    const layer = layers.length ? layers[0] : -1;
    const paths = places.map((place) => place[0]).join(' ');
    packages.push({
      name, version, kind, licences, places, purl, more, at, layers, layer,
      position: positions.get(layer) || 0,
      order: name.toLowerCase(),
      licence: licences.join(', '),
      text: [name, version, kind, licences.join(' '), purl, paths].join(' ').toLowerCase(),
    });
  }
  one.count = one.packages.length;
  one.packages = undefined;
});
// Layers are known by their place, unless it is another one in another image.
const placed = new Map();
for (const one of documents) {
  one.order.forEach((layer, at) => {
    const place = (at + 1) + ' of ' + one.order.length;
    placed.set(layer, placed.has(layer) && placed.get(layer) !== place ? '' : place);
  });
}
const layerName = (layer) => (placed.get(layer) ? placed.get(layer) + ' \u00b7 ' : '') + short(layer);
const layerOf = (one) => one.layer < 0 ? '' : (one.position ? one.position + '/' + documents[one.at].order.length + ' \u00b7 ' : '') + short(one.layer).slice(0, 8);
document.body.classList.toggle('single', documents.length === 1);

// What was not read: files, and documents that are damaged.
const unread = documents.flatMap((one) => [
  ...(one.damage ? [[one.label, '(this document)', 'it is damaged: ' + one.damage]] : []),
  ...one.unread.map(([path, reason]) => [one.label, path, reason]),
  ...(one.unreadLeft ? [[one.label, '(' + number(one.unreadLeft) + ' more files)', 'they are in the document']] : []),
]);

{
  const counts = by('counts');
  counts.append(made('span', counted(packages.length, 'package', 'packages')), made('span', counted(documents.length, 'document', 'documents')));
  counts.append(made('span', data.program));
  const label = (name, count) => { by('tab-' + name).textContent += ' (' + number(count) + ')'; };
  label('packages', packages.length);
  label('documents', documents.length);
  label('unread', unread.length);
  if (data.changes) label('changes', data.changes.length);
}

// Filters: each is a choice among the values of the packages that the others leave.
let words = [];
const found = (text) => words.every((word) => text.includes(word));
const NONE = '(none)';
const filters = [
  { id: 'by-type', all: 'all types', of: (one) => [one.kind], label: (kind) => kind },
  { id: 'by-licence', all: 'all licences', of: (one) => one.licences.length ? one.licences : [NONE], label: (licence) => licence },
  { id: 'by-layer', all: 'all layers', of: (one) => one.layers, label: layerName },
  { id: 'by-document', all: 'all documents', of: (one) => [one.at], label: (at) => documents[at].label },
];
const MOST = 1000;
for (const filter of filters) {
  filter.box = by(filter.id);
  filter.chosen = undefined;
  filter.box.onchange = () => {
    const at = filter.box.selectedIndex;
    filter.chosen = at > 0 ? filter.values[at - 1] : undefined;
    refresh();
  };
}
function options(filter, counts) {
  const values = [...counts];
  if (filter.chosen !== undefined && !counts.has(filter.chosen)) values.push([filter.chosen, 0]);
  values.sort((a, b) => b[1] - a[1] || (filter.label(a[0]) < filter.label(b[0]) ? -1 : 1));
  let listed = values.slice(0, MOST);
  if (filter.chosen !== undefined && !listed.some(([value]) => value === filter.chosen)) listed.push([filter.chosen, counts.get(filter.chosen)]);
  filter.values = listed.map(([value]) => value);
  const left = values.length - listed.length;
  const nodes = [made('option', filter.all + ' (' + number(values.length) + ')')];
  for (const [value, count] of listed) {
    let label = shown(filter.label(value));
    if (label.length > 60) label = label.slice(0, 59) + '\u2026';
    nodes.push(made('option', label + ' (' + number(count) + ')'));
  }
  if (left > 0) {
    const more = made('option', 'and ' + number(left) + ' more: use the search');
    more.disabled = true;
    nodes.push(more);
  }
  filter.box.replaceChildren(...nodes);
  filter.box.selectedIndex = filter.values.indexOf(filter.chosen) + 1;
  filter.box.classList.toggle('set', filter.chosen !== undefined);
}

// The packages.
const collator = new Intl.Collator('en', { numeric: true });
const text = (a, b) => a < b ? -1 : a > b ? 1 : 0;
const natural = (a, b) => a === b ? 0 : collator.compare(a, b) || text(a, b);
const orders = {
  name: (a, b) => text(a.order, b.order),
  version: (a, b) => natural(a.version, b.version),
  kind: (a, b) => text(a.kind, b.kind),
  licence: (a, b) => text(a.licence, b.licence),
  layer: (a, b) => a.position - b.position || a.layer - b.layer,
  at: (a, b) => text(documents[a.at].label, documents[b.at].label),
};
const sort = { by: 'name', down: false };
const rows = listing(by('rows'), (row, one) => {
  const name = made('span', one.name), licence = made('span', one.licence, 'wide');
  name.title = shown(one.name);
  licence.title = shown(one.licence);
  row.append(name, made('span', one.version), made('span', one.kind), licence,
    made('span', layerOf(one), 'wide'), made('span', documents[one.at].label, 'wide of'));
}, choose);
heads(by('head'), [['name', 'Name'], ['version', 'Version'], ['kind', 'Type'], ['licence', 'Licences', 'wide'], ['layer', 'Layer', 'wide'], ['at', 'Document', 'wide of']], sort, () => refresh());
function refresh() {
  const counts = filters.map(() => new Map());
  const listed = [];
  for (const one of packages) {
    if (!found(one.text)) continue;
    let missed = 0, last = -1;
    const values = filters.map((filter) => filter.of(one));
    filters.forEach((filter, at) => {
      if (filter.chosen !== undefined && !values[at].includes(filter.chosen)) { missed += 1; last = at; }
    });
    if (!missed) listed.push(one);
    if (missed > 1) continue;
    filters.forEach((_, at) => {
      if (missed && at !== last) return;
      for (const value of values[at]) counts[at].set(value, (counts[at].get(value) || 0) + 1);
    });
  }
  filters.forEach((filter, at) => options(filter, counts[at]));
  const order = orders[sort.by];
  listed.sort((a, b) => (sort.down ? -1 : 1) * order(a, b) || orders.name(a, b) || natural(a.version, b.version));
  rows.show(listed);
  by('shown').textContent = listed.length === packages.length
    ? counted(packages.length, 'package', 'packages') : number(listed.length) + ' of ' + counted(packages.length, 'package', 'packages');
}
by('clear').onclick = () => {
  for (const filter of filters) filter.chosen = undefined;
  by('search').value = '';
  by('search').oninput();
};
function choose(one) {
  rows.choose(one);
  const box = by('detail');
  box.replaceChildren();
  box.classList.toggle('shown', Boolean(one));
  if (!one) return draw();
  const close = made('button', 'Close (Esc)', 'plain');
  close.onclick = () => choose();
  const list = made('dl');
  const add = (title, node) => {
    const value = made('dd');
    value.append(typeof node === 'string' ? shown(node) : node);
    list.append(made('dt', title), value);
  };
  const items = (texts) => { const node = made('ul'); for (const text of texts) node.append(made('li', text)); return node; };
  add('version', one.version || 'unknown');
  add('type', one.kind + (one.more.language ? ', ' + one.more.language : ''));
  add('licences', one.licences.length ? items(one.licences) : 'none found');
  if (one.purl) add('package URL', made('code', one.purl));
  if (one.more.description) add('description', one.more.description);
  if (one.more.maintainer) add('maintainer', one.more.maintainer);
  if (one.more.installedSize) add('installed size, as it is written', one.more.installedSize);
  const places = one.places.map(([path, layer]) => path + (layer === null ? '' : '  (layer ' + short(layer) + ')'));
  if (one.more.placesLeft) places.push('and ' + number(one.more.placesLeft) + ' more, in the document');
  if (places.length) add('found in', items(places));
  if (one.more.foundBy) add('found by', one.more.foundBy);
  add('document', documents[one.at].name + '.json');
  box.append(close, made('h2', one.name), list);
  draw();
}

// The changes since another package.
const KINDS = ['added', 'removed', 'changed'];
const changes = (data.changes || []).map((one) => {
  const from = one.from.join(', '), to = one.to.join(', ');
  return { ...one, from, to, word: !from ? 'added' : !to ? 'removed' : 'changed', order: one.name.toLowerCase(), text: [one.name, one.type, from, to, one.document].join(' ').toLowerCase() };
});
const changeOrders = {
  word: (a, b) => text(a.word, b.word), name: (a, b) => text(a.order, b.order), type: (a, b) => text(a.type, b.type),
  from: (a, b) => natural(a.from, b.from), to: (a, b) => natural(a.to, b.to), document: (a, b) => text(a.document, b.document),
};
const changeSort = { by: 'name', down: false };
let changeRows;
let change = 0;
function refreshChanges() {
  const left = changes.filter((one) => found(one.text));
  const counts = KINDS.map((word) => left.filter((one) => one.word === word).length);
  by('by-change').replaceChildren(made('option', 'all (' + number(left.length) + ')'), ...KINDS.map((word, at) => made('option', word + ' (' + number(counts[at]) + ')')));
  by('by-change').selectedIndex = change;
  const listed = left.filter((one) => !change || one.word === KINDS[change - 1]);
  listed.sort((a, b) => (changeSort.down ? -1 : 1) * changeOrders[changeSort.by](a, b) || text(a.order, b.order));
  changeRows.show(listed);
}
if (data.changes) {
  by('since').textContent = 'since ' + shown(data.since);
  changeRows = listing(by('change-rows'), (row, one) => {
    const sign = { added: '+ ', removed: '\u2212 ', changed: '~ ' }[one.word];
    row.append(made('span', sign + one.word, one.word), made('span', one.name), made('span', one.type, 'wide'),
      made('span', one.from), made('span', one.to), made('span', one.document, 'wide'));
  }, (one) => changeRows.choose(one));
  heads(by('change-head'), [['word', 'Change'], ['name', 'Name'], ['type', 'Type', 'wide'], ['from', 'From'], ['to', 'To'], ['document', 'Document', 'wide']], changeSort, refreshChanges);
  by('by-change').onchange = () => { change = by('by-change').selectedIndex; refreshChanges(); };
} else {
  by('tab-changes').remove();
}

// Documents, and what was not read.
const documentRows = listing(by('document-rows'), (row, one) => {
  const lacks = one.unread.length + one.unreadLeft;
  row.append(made('span', one.label), made('span', one.source[0], 'wide'), made('span', one.distro, 'wide'),
    made('span', number(one.count), 'number'), made('span', one.damage ? 'damaged' : lacks ? number(lacks) : '', 'number wide' + (one.damage || lacks ? ' alarm' : '')));
}, (one) => documentRows.choose(one));
const open = (one) => {
  for (const filter of filters) filter.chosen = undefined;
  filters[3].chosen = documents.indexOf(one);
  refresh();
  current.show('packages');
  by('rows').focus();
};
let marked;
{
  const choose = documentRows.choose;
  documentRows.choose = (one) => { marked = one; choose(one); };
  by('document-rows').addEventListener('click', () => { if (marked) open(marked); });
  by('document-rows').addEventListener('keydown', (event) => { if (event.key === 'Enter' && marked) open(marked); });
}
const documentSort = { by: 'name', down: false };
function refreshDocuments() {
  const order = {
    name: (a, b) => text(a.label, b.label), subject: (a, b) => text(a.source[0], b.source[0]), distro: (a, b) => text(a.distro, b.distro),
    count: (a, b) => a.count - b.count, unread: (a, b) => a.unread.length + a.unreadLeft - b.unread.length - b.unreadLeft,
  }[documentSort.by];
  documentRows.show(documents.slice().sort((a, b) => (documentSort.down ? -1 : 1) * order(a, b) || text(a.label, b.label)));
}
heads(by('document-head'), [['name', 'Document'], ['subject', 'Of', 'wide'], ['distro', 'System', 'wide'], ['count', 'Packages', 'number', true], ['unread', 'Not read', 'number wide', true]], documentSort, refreshDocuments);
const unreadRows = listing(by('unread-rows'), (row, one) => {
  const cells = [made('span', one[1]), made('span', one[2]), made('span', one[0], 'wide')];
  for (const cell of cells) cell.title = cell.textContent;
  row.append(...cells);
}, (one) => unreadRows.choose(one));
const unreadSort = { by: '1', down: false };
function refreshUnread() {
  unreadRows.show(unread.filter((one) => found(one.join(' ').toLowerCase()))
    .sort((a, b) => (unreadSort.down ? -1 : 1) * text(a[unreadSort.by], b[unreadSort.by]) || text(a[0], b[0])));
}
heads(by('unread-head'), [['1', 'File'], ['2', 'Reason'], ['0', 'Document', 'wide']], unreadSort, refreshUnread);

const draw = framed(() => {
  const list = { packages: rows, changes: changeRows, documents: documentRows, unread: unreadRows }[current.view];
  list.draw();
});
const search = framed(() => {
  words = by('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  refresh();
  if (data.changes) refreshChanges();
  refreshUnread();
});
by('search').oninput = search;
const current = tabs(['packages', ...(data.changes ? ['changes'] : []), 'documents', 'unread'], draw, () => choose());
refresh();
if (data.changes) refreshChanges();
refreshDocuments();
refreshUnread();
current.show(data.changes ? 'changes' : 'packages');
