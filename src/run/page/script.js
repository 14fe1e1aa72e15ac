const tasks = data.tasks;
const ran = data.wallMs !== null;
const STATUSES = ['failed', 'executed', 'cached', 'skipped', 'planned'];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const time = (ms) => {
  const seconds = Math.round(ms / 1000);
  if (ms < 1000) return ms + ' ms';
  return ms < 59950 ? (ms / 1000).toFixed(1) + ' s' : Math.floor(seconds / 60) + ' min ' + seconds % 60 + ' s';
};

// What follows each task.
for (const task of tasks) task.followers = [];
tasks.forEach((task, at) => { for (const need of task.needs) tasks[need].followers.push(at); });

// Tasks in an order in which each comes after those it waited for.
const order = [];
{
  const open = tasks.map((task) => task.needs.length);
  const ready = open.flatMap((count, at) => count ? [] : [at]);
  while (ready.length) {
    const at = ready.pop();
    order.push(at);
    for (const next of tasks[at].followers) if (--open[next] === 0) ready.push(next);
  }
}

// The time of the slowest path, if task `without` took none, and that path.
function slowest(without) {
  const ends = new Float64Array(tasks.length);
  const before = new Int32Array(tasks.length).fill(-1);
  let last = -1;
  for (const at of order) {
    for (const need of tasks[at].needs) if (before[at] < 0 || ends[need] > ends[before[at]]) before[at] = need;
    ends[at] = (before[at] < 0 ? 0 : ends[before[at]]) + (at === without ? 0 : tasks[at].wallMs);
    if (last < 0 || ends[at] > ends[last]) last = at;
  }
  const path = [];
  for (let at = last; at >= 0; at = before[at]) if (tasks[at].wallMs) path.unshift(at);
  return { time: last < 0 ? 0 : ends[last], path };
}
const path = slowest(-1);
for (const at of path.path) tasks[at].slow = true;

let filter = '';
let chosen = -1;
const matches = (task) => !filter || (task.id + ' ' + task.status + ' ' + task.verb + ' ' + task.reason).toLowerCase().includes(filter);

// Header.
{
  const counts = by('counts');
  for (const status of STATUSES) {
    const count = tasks.filter((task) => task.status === status).length;
    if (!count) continue;
    const node = made('span');
    node.append(mark(status), count + ' ' + status);
    counts.append(node);
  }
  if (ran) counts.append(made('span', time(data.wallMs) + ', ' + new Date(data.startMs).toLocaleString() + ', jackal ' + data.jackal));
}

// Summary.
function link(at) {
  const node = made('button', tasks[at].id, 'link');
  node.onclick = () => choose(at);
  return node;
}
function some(list, most, head, row) {
  const rows = list.slice(0, most).map(row);
  const box = made('div');
  box.append(table(head, rows));
  if (list.length > most) box.append(made('p', 'and ' + (list.length - most) + ' more in “Tasks”'));
  return box;
}
{
  const box = by('summary');
  const all = tasks.map((_, at) => at);
  const failed = all.filter((at) => tasks[at].status === 'failed');
  const executed = all.filter((at) => tasks[at].status === 'executed');
  const add = (title, node) => box.append(made('h2', title), node);
  if (failed.length) add('Failures', some(failed, 20, ['task', 'why', 'where'], (at) => [link(at), tasks[at].reason, tasks[at].place || '']));
  if (ran && path.path.length) {
    const rows = path.path.map((at) => {
      const saved = path.time - slowest(at).time;
      return [link(at), time(tasks[at].wallMs), Math.round(100 * tasks[at].wallMs / path.time) + ' %', saved > 0 ? 'up to ' + time(saved) : 'nothing: another path is as slow'];
    });
    add('The slowest path: ' + time(path.time) + ' of ' + time(data.wallMs), table(['task', 'time', 'share', 'what it would save to make it faster'], rows));
    const waited = data.wallMs - path.time;
    if (waited > 0.2 * data.wallMs && waited > 1000)
      box.append(made('p', time(waited) + ' passed beside this path: tasks waited for a free slot. More jobs, or fewer tasks on this machine, would shorten it.'));
  }
  if (ran) {
    const groups = new Map();
    for (const at of executed) {
      const reason = tasks[at].reason || 'not said';
      groups.set(reason, (groups.get(reason) || []).concat(at));
    }
    const sorted = [...groups].sort((a, b) => b[1].length - a[1].length);
    const row = ([reason, list]) => {
      const box = made('span');
      list.slice(0, 5).forEach((at, n) => box.append(n ? ', ' : '', link(at)));
      if (list.length > 5) box.append(' and ' + (list.length - 5) + ' more');
      return [reason, String(list.length), box];
    };
    add('What changed since the last run', sorted.length ? some(sorted, 30, ['reason', 'tasks', ''], row) : made('p', failed.length ? 'See the failures.' : 'Nothing: each result was used again.'));
    const large = all.filter((at) => tasks[at].bytesMade).sort((a, b) => tasks[b].bytesMade - tasks[a].bytesMade);
    if (large.length) add('Largest outputs made', some(large, 10, ['task', 'size'], (at) => [link(at), size(tasks[at].bytesMade)]));
    const slow = executed.concat(failed).sort((a, b) => tasks[b].wallMs - tasks[a].wallMs);
    if (slow.length) add('Slowest tasks', some(slow, 10, ['task', 'time'], (at) => [link(at), time(tasks[at].wallMs)]));
    const flaky = all.filter((at) => tasks[at].attempts > 1);
    if (flaky.length) add('Tried more than once', some(flaky, 10, ['task', 'attempts'], (at) => [link(at), String(tasks[at].attempts)]));
  } else {
    const verbs = new Map();
    for (const task of tasks) verbs.set(task.verb, (verbs.get(task.verb) || 0) + 1);
    add('Tasks by kind', table(['kind', 'tasks'], [...verbs].sort().map(([verb, count]) => [verb, String(count)])));
    const most = all.slice().sort((a, b) => tasks[b].followers.length - tasks[a].followers.length);
    add('Most needed', some(most, 10, ['task', 'read by'], (at) => [link(at), String(tasks[at].followers.length)]));
  }
}

// Details.
function choose(at) {
  chosen = at;
  rows.choose(at);
  const box = by('detail');
  box.replaceChildren();
  box.classList.toggle('shown', at >= 0);
  if (at >= 0) {
    const task = tasks[at];
    const close = made('button', 'Close (Esc)', 'plain');
    close.style.float = 'right';
    close.onclick = () => choose(-1);
    box.append(close, made('h2', task.id));
    const list = made('dl');
    const add = (name, node) => { const value = made('dd'); value.append(node); list.append(made('dt', name), value); };
    const status = made('span');
    status.append(mark(task.status), task.status + (task.slow ? ', on the slowest path' : ''));
    add('status', status);
    if (task.reason) add(task.status === 'executed' ? 'why it ran' : 'why', task.reason);
    if (task.place) add('where', task.place);
    add('kind', task.verb + (task.level ? ', sandbox: ' + task.level : ''));
    if (ran && task.status !== 'cached') add('time', time(task.wallMs) + ' from ' + time(task.startMs) + (task.attempts > 1 ? ', attempt ' + task.attempts : ''));
    if (task.bytesFetched) add('downloaded', size(task.bytesFetched));
    if (task.tests) add('tests', task.tests);
    if (task.outputs.length) {
      const rows = task.outputs.slice(0, 100).map((one) => [one.name, size(one.size), one.digest.slice(0, 19)]);
      add('outputs', table(['name', 'size', 'digest'], rows));
    }
    const links = (list) => { const box = made('span'); list.slice(0, 50).forEach((at) => box.append(link(at), made('br'))); if (list.length > 50) box.append('and ' + (list.length - 50) + ' more'); return box; };
    if (task.needs.length) add('waited for', links(task.needs));
    if (task.followers.length) add('read by', links(task.followers));
    if (task.key) add('action key', made('code', task.key));
    box.append(list);
    if (task.log) box.append(made('h2', 'Log'), made('pre', task.log));
  }
  draw();
}

// The table.
const sort = { by: ran ? 'startMs' : 'id', down: false };
const rows = listing(by('rows'), (row, at) => {
  const task = tasks[at];
  const status = made('span');
  status.append(mark(task.status), task.status);
  row.append(status, made('span', task.id), made('span', task.wallMs ? time(task.wallMs) : '', 'number'),
    made('span', task.bytesMade ? size(task.bytesMade) : '', 'number wide'), made('span', task.reason, 'wide'));
}, (at) => choose(at));
heads(by('head'), [['status', 'status'], ['id', 'task'], ['wallMs', 'time', 'number', true], ['bytesMade', 'made', 'number wide', true], ['reason', 'reason', 'wide']], sort, list);
function list() {
  const listed = tasks.map((_, at) => at).filter((at) => matches(tasks[at]));
  const rank = (at) => sort.by === 'status' ? STATUSES.indexOf(tasks[at].status) : tasks[at][sort.by];
  listed.sort((a, b) => { const x = rank(a), y = rank(b); return (x < y ? -1 : x > y ? 1 : a - b) * (sort.down ? -1 : 1); });
  rows.show(listed);
  draw();
}

// Drawings: boxes in a plane, which is moved and zoomed.
function drawing(section, boxes, lines, own) {
  const canvas = section.querySelector('canvas');
  const view = { x: 0, y: 0, sx: 1, sy: 1, fresh: true };
  const right = boxes.reduce((most, box) => Math.max(most, box.x + box.w), 1);
  const below = boxes.reduce((most, box) => Math.max(most, box.y + box.h), 1);
  const all = () => {
    const { clientWidth: w, clientHeight: h } = canvas;
    view.sx = (w - 40) / right;
    view.sy = own.wide ? Math.min(28, Math.max(2, (h - 60) / below)) : Math.min(1.5, view.sx, (h - 40) / below);
    if (!own.wide) view.sx = view.sy;
    view.x = 20; view.y = own.wide ? 30 : Math.max(20, (h - below * view.sy) / 2);
    view.fresh = false;
  };
  const at = (event) => { const r = canvas.getBoundingClientRect(); return [event.clientX - r.left, event.clientY - r.top]; };
  const zoom = (factor, x, y) => {
    const sx = Math.min(own.most, Math.max(0.001, view.sx * factor));
    const done = sx / view.sx;
    view.x = x - (x - view.x) * done;
    view.sx = sx;
    if (!own.wide) { view.y = y - (y - view.y) * done; view.sy = sx; }
    draw();
  };
  canvas.addEventListener('wheel', (event) => { event.preventDefault(); const [x, y] = at(event); zoom(Math.exp(-event.deltaY / 400), x, y); }, { passive: false });
  let held = null;
  canvas.onpointerdown = (event) => { held = { from: at(event), x: view.x, y: view.y, moved: false }; canvas.setPointerCapture(event.pointerId); };
  canvas.onpointermove = (event) => {
    if (!held) return;
    const [x, y] = at(event);
    if (Math.hypot(x - held.from[0], y - held.from[1]) > 4) held.moved = true;
    if (held.moved) { view.x = held.x + x - held.from[0]; view.y = held.y + y - held.from[1]; draw(); }
  };
  canvas.onpointerup = (event) => {
    const was = held;
    held = null;
    if (!was || was.moved) return;
    const [x, y] = at(event);
    const hit = boxes.findIndex((box) => {
      const left = view.x + box.x * view.sx, top = view.y + box.y * view.sy;
      return x >= left - 2 && x <= left + Math.max(4, box.w * view.sx) && y >= top && y <= top + Math.max(4, box.h * view.sy);
    });
    choose(hit < 0 ? -1 : boxes[hit].task);
  };
  canvas.onkeydown = (event) => {
    const { clientWidth: w, clientHeight: h } = canvas;
    const move = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (move) { view.x += move[0]; view.y += move[1]; draw(); }
    else if (event.key === '+' || event.key === '=') zoom(1.3, w / 2, h / 2);
    else if (event.key === '-') zoom(1 / 1.3, w / 2, h / 2);
    else if (event.key === '0') { all(); draw(); }
    else return;
    event.preventDefault();
  };
  return () => {
    const { clientWidth: w, clientHeight: h } = canvas;
    if (!w || !h) return;
    if (view.fresh) all();
    const scale = window.devicePixelRatio || 1;
    canvas.width = w * scale; canvas.height = h * scale;
    const pen = canvas.getContext('2d');
    pen.scale(scale, scale);
    const paint = {};
    for (const name of [...STATUSES, 'line', 'text', 'dim', 'slow', 'accent', 'back']) paint[name] = colour(name);
    own.under(pen, view, w, h, paint);
    if (lines.length) {
      pen.lineWidth = 1;
      for (const slow of [false, true]) {
        pen.beginPath();
        pen.strokeStyle = slow ? paint.slow : lines.length > 500 ? paint.line : paint.dim;
        for (const [from, to] of lines) {
          const a = boxes[from], b = boxes[to];
          const isSlow = Boolean(tasks[a.task].slow && tasks[b.task].slow);
          const near = chosen >= 0 && (a.task === chosen || b.task === chosen);
          if ((isSlow || near) !== slow) continue;
          const x1 = view.x + (a.x + a.w) * view.sx, y1 = view.y + (a.y + a.h / 2) * view.sy;
          const x2 = view.x + b.x * view.sx, y2 = view.y + (b.y + b.h / 2) * view.sy;
          if (Math.max(x1, x2) < 0 || Math.min(x1, x2) > w || Math.max(y1, y2) < 0 || Math.min(y1, y2) > h) continue;
          pen.moveTo(x1, y1);
          if (lines.length > 20000) pen.lineTo(x2, y2);
          else pen.bezierCurveTo(x1 + 30 * view.sx, y1, x2 - 30 * view.sx, y2, x2, y2);
        }
        pen.stroke();
      }
    }
    pen.font = '12px system-ui, sans-serif';
    pen.textBaseline = 'middle';
    for (const box of boxes) {
      const task = tasks[box.task];
      const left = view.x + box.x * view.sx, top = view.y + box.y * view.sy;
      const wide = Math.max(1.5, box.w * view.sx), high = Math.max(1.5, box.h * view.sy);
      if (left > w || top > h || left + wide < 0 || top + high < 0) continue;
      pen.globalAlpha = matches(task) ? 1 : 0.15;
      pen.fillStyle = paint[task.status];
      pen.fillRect(left, top, wide, high - 1);
      if (task.slow || box.task === chosen) {
        pen.lineWidth = box.task === chosen ? 3 : 2;
        pen.strokeStyle = box.task === chosen ? paint.accent : paint.slow;
        pen.strokeRect(left, top, wide, high - 1);
      }
      if (high >= 11 && wide > 30) {
        pen.save();
        pen.beginPath();
        pen.rect(Math.max(left, 0), top, left + wide - Math.max(left, 0), high);
        pen.clip();
        pen.fillStyle = paint.back;
        pen.fillText(own.words(task), Math.max(left, 0) + 5, top + high / 2);
        pen.restore();
      }
      pen.globalAlpha = 1;
    }
  };
}

const drawTimeline = ran ? drawing(by('timeline'),
  tasks.flatMap((task, at) => task.row < 0 ? [] : [{ task: at, x: task.startMs, y: task.row, w: Math.max(task.wallMs, 1), h: 1 }]), [],
  {
    wide: true, most: 50,
    words: (task) => task.id + ' (' + time(task.wallMs) + ')',
    under(pen, view, w, h, paint) {
      pen.font = '11px system-ui, sans-serif';
      pen.textBaseline = 'top';
      const wanted = 90 / view.sx;
      const power = Math.pow(10, Math.floor(Math.log10(wanted)));
      const step = [1, 2, 5, 10].map((n) => n * power).find((one) => one >= wanted);
      const first = Math.max(0, Math.ceil(-view.x / view.sx / step) * step);
      for (let t = first; view.x + t * view.sx < w; t += step) {
        const x = Math.round(view.x + t * view.sx) + 0.5;
        pen.strokeStyle = paint.line;
        pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, h); pen.stroke();
        pen.fillStyle = paint.dim;
        pen.fillText(t < 1000 ? Math.round(t * 10) / 10 + ' ms' : t / 1000 + ' s', x + 4, 4);
      }
    },
  }) : () => {};

// Each task one column after the last that it needs; columns in the order of their needs.
const drawGraph = (() => {
  const column = new Int32Array(tasks.length);
  for (const at of order) for (const need of tasks[at].needs) column[at] = Math.max(column[at], column[need] + 1);
  const columns = [];
  for (const at of order) (columns[column[at]] = columns[column[at]] || []).push(at);
  const place = new Float64Array(tasks.length);
  const tallest = columns.reduce((most, list) => Math.max(most, list.length), 1);
  const boxes = new Array(tasks.length);
  // Wide layers are broken into several columns, so that the picture has the shape of a page.
  const high = Math.max(12, Math.ceil(Math.sqrt(tasks.length) * 1.5));
  let x = 0;
  for (const list of columns.filter(Boolean)) {
    const mean = (at) => tasks[at].needs.reduce((sum, need) => sum + place[need], 0) / (tasks[at].needs.length || 1);
    const ranked = list.map((at) => [tasks[at].needs.length ? mean(at) : 0, tasks[at].id, at]);
    ranked.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1));
    const rows = Math.min(list.length, high);
    const top = (Math.min(tallest, high) - rows) * 17;
    ranked.forEach(([, , at], n) => {
      const y = top + (n % high) * 34;
      place[at] = y;
      boxes[at] = { task: at, x: x + Math.floor(n / high) * 190, y, w: 170, h: 24 };
    });
    x += (Math.ceil(list.length / high) - 1) * 190 + 250;
  }
  const lines = [];
  tasks.forEach((task, at) => { for (const need of task.needs) lines.push([need, at]); });
  return drawing(by('graph'), boxes, lines, { wide: false, most: 3, words: (task) => task.id, under() {} });
})();

// Views.
const views = ran ? ['summary', 'timeline', 'graph', 'table'] : ['graph', 'summary', 'table'];
if (!ran) by('tab-timeline').remove();
const draw = framed(() => {
  if (current.view === 'timeline') drawTimeline();
  if (current.view === 'graph') drawGraph();
  if (current.view === 'table') rows.draw();
});
const current = tabs(views, draw, () => choose(-1));
by('search').oninput = () => { filter = by('search').value.trim().toLowerCase(); list(); if (filter && current.view === 'summary') current.show('table'); };
list();
current.show(views[0]);
