const data = JSON.parse(document.getElementById('data').textContent);
const by = (id) => document.getElementById(id);

// Characters that are not seen, or that turn others around, are written out.
const shown = (text) => String(text).replace(
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
  (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
const made = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = shown(text);
  if (name) node.className = name;
  return node;
};
const mark = (kind) => {
  const node = made('span', undefined, 'mark');
  node.style.background = 'var(--' + kind + ')';
  return node;
};
const size = (bytes) => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  while (bytes >= 1024 && at < 4) { bytes /= 1024; at += 1; }
  return (at ? bytes.toFixed(1) : bytes) + ' ' + units[at];
};
function table(head, rows) {
  const node = made('table');
  const top = made('tr');
  for (const title of head) top.append(made('th', title));
  node.append(top);
  for (const row of rows) {
    const line = made('tr');
    for (const cell of row) {
      const box = made('td');
      box.append(typeof cell === 'string' ? shown(cell) : cell);
      line.append(box);
    }
    node.append(line);
  }
  return node;
}

// Calls `draw` once before the next frame, however often it is called.
function framed(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  };
}

// A list of which only the rows in view are in the page. `fill` puts an item into its row,
// `choose` gets the item that the user chose.
function listing(box, fill, choose) {
  const high = 28;
  let items = [];
  let chosen;
  const draw = framed(() => {
    const first = Math.max(0, Math.floor(box.scrollTop / high) - 5);
    const last = Math.min(items.length, first + Math.ceil(box.clientHeight / high) + 10);
    const space = made('div');
    space.style.height = items.length * high + 'px';
    const nodes = [space];
    box.removeAttribute('aria-activedescendant');
    for (let at = first; at < last; at += 1) {
      const row = made('div', undefined, 'row');
      row.id = box.id + '-' + at;
      row.setAttribute('role', 'option');
      row.setAttribute('aria-setsize', items.length);
      row.setAttribute('aria-posinset', at + 1);
      row.setAttribute('aria-selected', String(items[at] === chosen));
      if (items[at] === chosen) box.setAttribute('aria-activedescendant', row.id);
      row.style.top = at * high + 'px';
      fill(row, items[at]);
      row.onclick = () => choose(items[at]);
      nodes.push(row);
    }
    box.replaceChildren(...nodes);
  });
  box.onscroll = draw;
  box.onkeydown = (event) => {
    const far = items.length;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -far, End: far }[event.key];
    if (!step || !far) return;
    event.preventDefault();
    const at = Math.min(far - 1, Math.max(0, items.indexOf(chosen) + step));
    if (at * high < box.scrollTop) box.scrollTop = at * high;
    if ((at + 1) * high > box.scrollTop + box.clientHeight) box.scrollTop = (at + 1) * high - box.clientHeight;
    choose(items[at]);
  };
  return {
    draw,
    show(list) { items = list; draw(); },
    choose(item) { chosen = item; draw(); },
  };
}

// Buttons above a list that say how it is sorted. A column is its key, its title, its class
// and whether it begins with the largest.
function heads(box, columns, sort, sorted) {
  const buttons = columns.map(([key, title, name, falls]) => {
    const cell = made('span', undefined, name);
    const button = made('button', title);
    button.onclick = () => {
      sort.down = sort.by === key ? !sort.down : Boolean(falls);
      sort.by = key;
      tell();
      sorted();
    };
    cell.append(button);
    box.append(cell);
    return [key, title, button];
  });
  const tell = () => {
    for (const [key, title, button] of buttons) {
      const on = sort.by === key;
      button.textContent = title + (on ? (sort.down ? ' \u25bc' : ' \u25b2') : '');
      button.setAttribute('aria-label', title + (on ? (sort.down ? ', sorted, largest first' : ', sorted') : ', sort'));
    }
  };
  tell();
}

// Views, of which one is shown. The keys 1 to 9 choose one, / the search, Escape leaves it.
function tabs(views, draw, closed) {
  const state = { view: views[0] };
  const show = (name) => {
    state.view = name;
    for (const one of views) {
      by(one).classList.toggle('shown', one === name);
      by('tab-' + one).setAttribute('aria-selected', String(one === name));
      by('tab-' + one).tabIndex = one === name ? 0 : -1;
    }
    draw();
  };
  state.show = show;
  for (const one of views) by('tab-' + one).onclick = () => show(one);
  document.querySelector('nav').onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.target.getAttribute('role') !== 'tab') return;
    show(views[(views.indexOf(state.view) + step + views.length) % views.length]);
    by('tab-' + state.view).focus();
  };
  document.onkeydown = (event) => {
    const search = by('search');
    if (event.key === 'Escape') {
      closed();
      if (document.activeElement === search) { search.value = ''; search.oninput(); search.blur(); }
    }
    if (['INPUT', 'SELECT'].includes(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '/') { event.preventDefault(); search.focus(); }
    const at = Number(event.key) - 1;
    if (event.key >= '1' && views[at]) show(views[at]);
  };
  window.onresize = draw;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const theme = (name) => { document.documentElement.dataset.theme = name; document.documentElement.style.colorScheme = name; draw(); };
  theme(dark.matches ? 'dark' : 'light');
  dark.onchange = () => theme(dark.matches ? 'dark' : 'light');
  by('theme').onclick = () => theme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
  return state;
}

by('title').textContent = shown(data.title);
document.title = shown(data.title);

