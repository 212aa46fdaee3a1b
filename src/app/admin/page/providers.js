// How each provider stands.

import { $, attribute, clock, count, el, jobs, put, rate, say, secondsSince, show, since, span, svg, sync, when } from './dom.js';
import { change } from './ask.js';

const REASONS = {
  outage: 'The provider keeps failing',
  credentials: 'The provider refuses our credentials',
  configuration: 'The provider does not know our endpoint, action or version',
  results: 'Results cannot be published: their queue is full',
  paused: 'An operator asked for it',
};

const waiting = (provider) => (provider.waiting ? provider.waiting.urgent + provider.waiting.bulk : 0);

/** Word, sign and severity: never colour alone. */
export function stateOf(provider) {
  if (provider.paused || provider.suspended === 'paused') return { word: 'Paused', sign: '❚❚', kind: 'warn' };
  if (provider.suspended) return { word: 'Suspended', sign: '▲', kind: 'bad' };
  // One that this worker does not know may be gone for good.
  if (provider.silent_since && provider.configured) return { word: 'No sender', sign: '▲', kind: 'bad' };
  if (!provider.sender) return { word: 'Not sent from here', sign: '○', kind: 'idle' };
  if (provider.health === 'throttled') return { word: 'Slowed down', sign: '◐', kind: 'warn' };
  if (provider.rate || provider.in_flight || waiting(provider)) return { word: 'Sending', sign: '●', kind: 'ok' };
  return { word: 'Idle', sign: '○', kind: 'idle' };
}

/** Why it stands so, in sentences; the first one matters most. */
function reasons(provider, ledger) {
  const lines = [];
  const { paused } = provider;
  if (paused) {
    lines.push(`Paused by ${paused.by} ${since(paused.at)}${paused.why ? `: “${paused.why}”` : ''}`);
    if (provider.suspended !== 'paused' && (provider.rate || provider.in_flight)) lines.push('What is on the wire still finishes.');
  }
  if (provider.suspended && !(paused && provider.suspended === 'paused')) {
    lines.push(`${REASONS[provider.suspended]}, ${provider.since ? since(provider.since) : 'since a moment'}.`);
    lines.push(probe(provider));
  }
  if (provider.silent_since) lines.push(`No worker has reported ${since(provider.silent_since)}.`);
  else if (!provider.sender) {
    lines.push(ledger === 'none' ? 'Another worker may send for it: without a ledger this one cannot tell.' : 'No worker has reported that it sends for it.');
  }
  if (!provider.suspended && provider.health === 'throttled') {
    lines.push(`The provider asked to go slower: at most ${rate(provider.effective_qps)} of ${rate(provider.quota_qps)} a second for now; this recovers by itself.`);
  }
  return lines.filter(Boolean);
}

function probe(provider) {
  if (provider.suspended === 'paused') return '';
  if (!provider.next_probe) return 'It is being tried again now; it goes on by itself once that works.';
  const left = -secondsSince(provider.next_probe);
  if (left <= 0) return 'It is being tried again now; it goes on by itself once that works.';
  return `Next try in ${span(left)}, at ${when(provider.next_probe)}; it goes on by itself once that works.`;
}

/** What is to be said at the top, the worst first. */
export function alarms(snapshot) {
  return snapshot.providers.flatMap((provider) => {
    const { kind, word } = stateOf(provider);
    const held = provider.waiting ? `${jobs(waiting(provider))} wait.`.replace('1 job wait.', '1 job waits.') : '';
    if (word === 'Paused') return [{ kind: 'warn', text: `${provider.name} is paused. ${held}` }];
    if (word === 'Suspended') return [{ kind: 'bad', text: `${provider.name} is suspended: ${REASONS[provider.suspended].replace('The provider', 'it').replace(/^Results/, 'results')}. ${held}` }];
    if (word === 'No sender') return [{ kind: 'bad', text: `No worker sends for ${provider.name}. ${held}` }];
    if (kind === 'warn') return [{ kind, text: `${provider.name} is slowed down by the provider. ${held}` }];
    return [];
  });
}

export const allWaiting = (snapshot) => snapshot.providers.reduce((sum, provider) => sum + waiting(provider), 0);

export function render(snapshot) {
  sync($('provider-list'), snapshot.providers, (provider) => provider.name, make, (card, provider) => update(card, provider, snapshot));
  const note = [];
  if (!snapshot.providers.length) note.push('None is configured: add a section [providers.NAME] to the configuration.');
  if (snapshot.deferred) note.push(`${jobs(snapshot.deferred)} wait for their next try or their time, all providers together.`);
  put($('providers-note'), note.join(' '));
  show($('providers-note'), note.length > 0);
}

function make(provider) {
  const title = `provider-${provider.name}`;
  const figure = (name, label) => [el('div', {}, el('dt', {}, label), el('dd', { class: name }, '–'))];
  const button = el('button', { type: 'button', class: 'quiet' });
  const card = el('li', {},
    el('div', { class: 'head' }, el('h3', { id: title }, provider.name), el('span', { class: 'state' })),
    el('p', { class: 'rate' }, el('span', { class: 'now' }), ' ', el('small', { class: 'of' })),
    el('div', { class: 'chart' }, chart(), el('p', {}, el('span', { class: 'from' }), el('span', { class: 'quota-label' }), el('span', {}, 'now'))),
    el('dl', { class: 'figures' }, ...figure('urgent', 'Urgent wait'), ...figure('bulk', 'Bulk wait'), ...figure('flight', 'In flight'), ...figure('effective-qps', 'May send')),
    el('div', { class: 'why' }),
    el('div', { class: 'row' }, el('span', { class: 'sub sender' }), button));
  button.addEventListener('click', () => (card.provider.paused ? resume(card.provider) : pause(card.provider)));
  return card;
}

function update(card, provider, snapshot) {
  card.provider = provider;
  const find = (name) => card.getElementsByClassName(name)[0];
  const state = stateOf(provider);
  attribute(card, 'class', `card ${state.kind}`);
  attribute(find('state'), 'class', `state ${state.kind}`);
  put(find('state'), `${state.sign} ${state.word}`);
  put(find('now'), provider.rate == null ? '–' : rate(provider.rate));
  put(find('of'), `of ${rate(provider.quota_qps)} requests/s`);
  put(find('urgent'), provider.waiting ? count(provider.waiting.urgent) : '–');
  put(find('bulk'), provider.waiting ? count(provider.waiting.bulk) : '–');
  put(find('flight'), count(provider.in_flight));
  put(find('effective-qps'), `${rate(provider.effective_qps)}/s`);
  put(find('sender'), provider.sender ? `sent by ${provider.sender}` : '');
  attribute(find('why'), 'class', `why ${state.kind}`);
  const lines = reasons(provider, snapshot.ledger);
  sync(find('why'), lines.map((text, index) => ({ text, index })), (line) => line.index, () => el('p'), (node, line) => put(node, line.text));
  draw(card, provider, snapshot.rate_span_seconds);
  const button = card.querySelector('button');
  put(button, provider.paused ? 'Resume…' : 'Pause…');
  attribute(button, 'aria-label', `${provider.paused ? 'Resume' : 'Pause'} ${provider.name}…`);
  const able = provider.configured && snapshot.ledger !== 'none';
  if (button.disabled === able) button.disabled = !able;
  attribute(button, 'title', able ? '' : provider.configured ? 'Needs a ledger: set url in [ledger]' : 'This worker does not know it: use another worker’s page');
}

// --- the last minutes --------------------------------------------------------------------------------------------

const [WIDTH, HEIGHT, SPANS] = [300, 60, 60];

function chart() {
  const line = (name) => svg('line', { class: name, x1: 0, x2: WIDTH, 'vector-effect': 'non-scaling-stroke' });
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' },
    svg('path', { class: 'area' }), svg('path', { class: 'curve', 'vector-effect': 'non-scaling-stroke' }), line('quota'), line('effective'));
}

function draw(card, provider, seconds) {
  const find = (name) => card.getElementsByClassName(name)[0];
  const spans = Math.max(SPANS, provider.rates.length);
  const rates = provider.rates.map((requests) => requests / seconds);
  const top = 1.15 * Math.max(provider.quota_qps, ...rates, 1);
  const height = (value) => (HEIGHT * (1 - value / top)).toFixed(1);
  const step = WIDTH / spans;
  const start = WIDTH - rates.length * step;
  const steps = rates.map((value, n) => `H${(start + n * step).toFixed(1)}V${height(value)}`).join('') + `H${WIDTH}`;
  attribute(find('curve'), 'd', rates.length ? `M${start.toFixed(1)} ${height(rates[0])}${steps}` : '');
  attribute(find('area'), 'd', rates.length ? `M${start.toFixed(1)} ${HEIGHT}V${height(rates[0])}${steps}V${HEIGHT}Z` : '');
  for (const [name, value] of [['quota', provider.quota_qps], ['effective', provider.effective_qps]]) {
    attribute(find(name), 'y1', height(value));
    attribute(find(name), 'y2', height(value));
  }
  attribute(find('effective'), 'visibility', provider.effective_qps < provider.quota_qps ? 'visible' : 'hidden');
  put(find('from'), `${span(spans * seconds)} ago`);
  put(find('quota-label'), `dashed: quota ${rate(provider.quota_qps)}/s`);
  const told = rates.length ? `now ${rate(rates.at(-1))}, at most ${rate(Math.max(...rates))}` : 'nothing yet';
  attribute(card.querySelector('svg'), 'aria-label', `Requests a second over the last ${span(spans * seconds)}: ${told}; quota ${rate(provider.quota_qps)}`);
}

// --- pause and resume --------------------------------------------------------------------------------------------

async function pause(provider) {
  const held = waiting(provider);
  const done = await change(`/api/providers/${encodeURIComponent(provider.name)}/pause`, {
    title: `Pause ${provider.name}?`,
    text: `All workers stop sending to ${provider.name} within seconds. ${held ? `${jobs(held)} wait now; they` : 'Jobs'} stay queued, and nothing is lost. It lasts until somebody resumes it.`,
    yes: `Pause ${provider.name}`,
    no: 'Leave it running',
    danger: true,
    why: 'required',
  });
  if (done) say(`${provider.name} is paused`);
}

async function resume(provider) {
  const { by, at, why } = provider.paused;
  const done = await change(`/api/providers/${encodeURIComponent(provider.name)}/resume`, {
    title: `Resume ${provider.name}?`,
    text: `${by} paused it at ${when(at)}${why ? `: “${why}”` : ''}. All workers go on sending to it${waiting(provider) ? `: ${jobs(waiting(provider))} wait` : ''}.`,
    yes: `Resume ${provider.name}`,
    no: 'Leave it paused',
    why: 'optional',
  });
  if (done) say(`${provider.name} is resumed`);
}
