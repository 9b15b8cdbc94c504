// The demo's page: a form that publishes, a bell for each user, and the stages that the last notification has reached.
import '../element/v1.js';

const ROOT = new URL('..', import.meta.url).href.slice(0, -1); // a proxy may serve all of it below a path
const NOTED = ['accepted', 'stored', 'indexed']; // by the service; the others are seen from here
const POLL_MS = 100, POLLS = 100;
const PEOPLE = ['Ada Lovelace', 'Bo Chen', 'Chidi Okafor', 'Dana Silva', 'Emre Kaya'];

const find = (selector) => document.querySelector(selector);
const form = find('#form');
const { key } = document.body.dataset;
find('#key').hidden = Boolean(key);

// --- HTTP ---

async function ask(path, { headers, ...options } = {}) {
  const answer = await fetch(ROOT + path, { headers: { ...headers, ...(options.body && { 'Content-Type': 'application/json' }) }, ...options });
  const found = await answer.json();
  if (!answer.ok) throw new Error([found.detail, ...(found.errors ?? []).map(({ field, message }) => `${field} ${message}.`)].join(' '));
  return found;
}

const tokenOf = async (user) => (await ask(`/demo/tokens/${user}`)).token;

const keyed = () => ({ 'X-API-Key': key || form.elements.key.value });

async function publish(content) {
  const { id } = await ask('/v1/notifications', { method: 'POST', headers: keyed(), body: JSON.stringify(content) });
  follow(id, content.user_id, content.title || content.event);
}

// --- the bells ---

for (const device of document.querySelectorAll('.device')) {
  const { user } = device.dataset;
  const bell = Object.assign(document.createElement('bellwire-inbox'), { url: ROOT, user, token: () => tokenOf(user) });
  device.addEventListener('bellwire-arrived', ({ detail }) => arrived(user, detail.items ?? detail));
  device.addEventListener('bellwire-counts', () => look(user));
  device.querySelector('.bar').append(bell);
  // Stays open beside the other and the form, until the bell or Escape closes it.
  bell.shadowRoot.querySelector('[part=panel]').popover = 'manual';
  bell.addEventListener('keydown', ({ key: pressed }) => {
    if (pressed !== 'Escape') return;
    bell.close();
    bell.shadowRoot.querySelector('[part=bell]').focus();
  });
}

// --- the stages of a notification ---

let followed = { id: '', user: '', title: '', from: 0, times: {} };
const pushed = new Map(); // by id: a notification may be here before the answer to its request

/** Show the stages of this notification, if it is the newest: ids are ordered by time, which is in them. */
function follow(id, user, title) {
  if (id <= followed.id) return;
  followed = { id, user, title, from: parseInt(id.replaceAll('-', '').slice(0, 12), 16), times: {} };
  reached(pushed.has(id) ? { pushed: pushed.get(id) } : {});
  poll(followed);
}

/** What others publish is followed too. */
function arrived(user, items) {
  const at = Date.now();
  for (const { id, title, event } of items) {
    pushed.set(id, at);
    follow(id, user, title || event);
  }
  if (pushed.has(followed.id)) reached({ pushed: pushed.get(followed.id) });
}

/** Ask for the stages that the service notes until all are known. */
async function poll(mine) {
  for (let turn = 0; turn < POLLS && mine === followed; turn += 1) {
    const noted = await ask(`/demo/stages/${mine.id}`).catch(() => ({}));
    if (mine === followed) reached(Object.fromEntries(Object.entries(noted).map(([stage, at]) => [stage, Date.parse(at)])));
    if (NOTED.every((stage) => stage in noted)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Something changed for a user: see whether the notification was seen or read, and when. */
async function look(user) {
  const mine = followed;
  if (user !== mine.user || mine.times.read) return;
  const page = await ask(`/v1/users/${user}/notifications?status=all&limit=30`, { headers: { Authorization: `Bearer ${await tokenOf(user)}` } }).catch(() => ({ items: [] }));
  const item = page.items.find(({ id }) => id === mine.id);
  if (!item || mine !== followed) return;
  const { seen_at: seen, read_at: read } = item;
  reached({ ...(seen && { seen: Date.parse(seen) }), ...(read && { read: Date.parse(read) }) });
}

function reached(times) {
  followed.times = { ...times, ...followed.times };
  show();
}

function show() {
  const { user, title, from, times } = followed;
  find('#followed').textContent = `“${title}” to ${find(`#of-${user}`).textContent}`;
  for (const row of document.querySelectorAll('#stages li')) {
    const at = times[row.dataset.stage];
    row.classList.toggle('reached', Boolean(at));
    const time = row.querySelector('time') ?? row.appendChild(document.createElement('time'));
    time.textContent = at ? after(at - from) : '';
    if (at) Object.assign(time, { dateTime: new Date(at).toISOString(), title: new Date(at).toLocaleTimeString() });
  }
}

const after = (ms) => (ms < 1000 ? `+${Math.max(0, ms)} ms` : `+${(ms / 1000).toFixed(1)} s`);

// --- the form ---

/** What the form says, without what is empty. */
function content() {
  const { key: _, actor, actions, ...fields } = Object.fromEntries(new FormData(form));
  const filled = Object.fromEntries(Object.entries(fields).filter(([name, value]) => value && !(name === 'severity' && value === 'info')));
  const labels = actions.split(',').map((label) => label.trim()).filter(Boolean);
  return {
    ...filled,
    ...(actor && { actor: { name: actor } }),
    ...(labels.length && { actions: labels.map(action) }),
  };
}

const action = (label, place) => ({
  id: label.toLowerCase().replace(/[^a-z0-9]+/g, '-').slice(0, 32),
  label,
  ...(place === 0 && { style: 'primary' }),
});

const PRESETS = {
  like: () => PEOPLE.map((name) => ({ event: 'post.liked', category: 'social', title: 'Your post', message: 'liked your post.', actor: { name }, collapse_key: 'post:42:likes' })),
  deploy: () => [{ event: 'deploy.failed', category: 'ops', severity: 'critical', title: 'Deploy failed', message: 'api 4.2.0 on production: health checks did not pass.', action_url: `${path}/schema` }],
  expense: () => [{ event: 'expense.submitted', category: 'approvals', title: 'Approve expense', message: 'asks for €129: train to Berlin.', actor: { name: 'Bo Chen' }, actions: ['Approve', 'Decline'].map(action) }],
  chart: () => [{ event: 'report.ready', category: 'reports', severity: 'success', title: 'Weekly report', message: 'Sign-ups grew by a third.', image_url: `${path}/demo/chart.svg` }],
};
const path = new URL(ROOT).pathname.replace(/\/$/, '');

async function send(contents) {
  find('#problem').textContent = '';
  try {
    for (const one of contents) await publish(one);
  } catch (error) {
    find('#problem').textContent = error.message;
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command(what = content()) {
  const body = JSON.stringify(what, null, 1).replace(/\n */g, ' ');
  find('#curl').textContent = `curl ${ROOT}/v1/notifications \\\n  -H ${quoted(`X-API-Key: ${keyed()['X-API-Key'] || '…'}`)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body)}`;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  command();
  send([content()]);
});
form.addEventListener('input', () => command());
form.addEventListener('click', ({ target }) => {
  const preset = PRESETS[target.closest('[data-preset]')?.dataset.preset];
  if (!preset) return;
  const contents = preset().map((one) => ({ user_id: form.elements.user_id.value, ...one }));
  command(contents.at(-1));
  send(contents);
});
find('#copy').hidden = !navigator.clipboard; // only where the page is local or over TLS
find('#copy').addEventListener('click', async ({ target }) => {
  await navigator.clipboard.writeText(find('#curl').textContent);
  target.textContent = 'Copied';
  setTimeout(() => { target.textContent = 'Copy'; }, 1500);
});
command();
