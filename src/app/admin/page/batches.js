// How batches stand.

import { $, attribute, clock, count, el, jobs, percent, put, rate, say, show, since, span, sync, when } from './dom.js';
import { change } from './ask.js';
import { FAILURES, OUTCOMES, lookFor } from './results.js';

const STATES = {
  running: { word: 'Running', sign: '●', kind: 'ok' },
  idle: { word: 'Idle', sign: '○', kind: 'idle' },
  cancelling: { word: 'Being cancelled', sign: '◐', kind: 'warn' },
  cancelled: { word: 'Cancelled', sign: '■', kind: 'idle' },
  finished: { word: 'Finished', sign: '✓', kind: 'ok' },
};
const FEW = 5;
let all = false;
let last;

const isOpen = (batch) => batch.state === 'running' || batch.state === 'cancelling';
/** More may come of it. */
const isOver = (batch) => batch.state === 'finished' || batch.state === 'cancelled';
/** The server tells of no more. */
const MOST = 50;
const sum = (batch, kind) => Object.entries(batch.settled).reduce((total, [outcome, number]) => total + (OUTCOMES[outcome].kind === kind ? number : 0), 0);

export function start() {
  $('batches-more').addEventListener('click', () => {
    const before = $('batch-list').children.length;
    all = true;
    render(last);
    $('batch-list').children[before]?.focus();
  });
}

export function render(snapshot) {
  last = snapshot;
  const open = snapshot.batches.filter(isOpen);
  const over = snapshot.batches.filter((batch) => !isOpen(batch));
  const shown = all ? over : over.slice(0, FEW);
  sync($('batch-list'), [...open, ...shown], (batch) => batch.id, make, update);
  put($('batches-note'), note(snapshot));
  const hidden = over.length - shown.length;
  show($('batches-more'), hidden > 0);
  put($('batches-more'), `Show ${hidden} older`);
}

function note(snapshot) {
  if (snapshot.ledger === 'none') return 'No ledger is configured, so batches cannot be shown: set url in the section [ledger].';
  if (snapshot.batches.length >= MOST) return `These are the newest ${MOST}. Of others tell roomsweep batch list, show and cancel.`;
  if (snapshot.batches.length) return '';
  return snapshot.ledger === 'away' ? 'The ledger is away: batches come when it is back.' : 'None yet.';
}

function make(batch) {
  const cancel = el('button', { type: 'button', class: 'quiet danger cancel', 'aria-label': `Cancel batch ${batch.id}…` }, 'Cancel…');
  const failures = el('button', { type: 'button', class: 'quiet failures' });
  const item = el('li', { tabindex: -1 },
    el('div', { class: 'head' }, el('h3', { class: 'id' }, batch.id), el('span', { class: 'state' })),
    el('div', { class: 'bar', role: 'progressbar', 'aria-label': `Batch ${batch.id}`, 'aria-valuemin': 0 }, el('i', { class: 'good' }), el('i', { class: 'fail' }), el('i', { class: 'none' })),
    el('p', {}, el('span', { class: 'big over' }), ' ', el('span', { class: 'pace' })),
    el('p', { class: 'why end' }),
    el('div', { class: 'row' },
      el('div', {}, el('ul', { class: 'counts', 'aria-label': 'By outcome' }), el('span', { class: 'sub told' })),
      el('div', { class: 'buttons' }, failures, cancel)));
  cancel.addEventListener('click', () => stop(item.batch));
  failures.addEventListener('click', () => lookFor('batch', item.batch.id, FAILURES));
  return item;
}

function update(item, batch) {
  item.batch = batch;
  const find = (name) => item.getElementsByClassName(name)[0];
  let state = STATES[batch.state];
  if (batch.state === 'finished' && batch.failed) state = { word: 'Finished with failures', sign: '▲', kind: 'bad' };
  attribute(find('state'), 'class', `state ${state.kind}`);
  put(find('state'), `${state.sign} ${state.word}`);

  const bar = find('bar');
  const size = Math.max(batch.size ?? 0, batch.over);
  for (const kind of ['good', 'fail', 'none']) {
    const part = batch.size == null ? 0 : sum(batch, kind);
    // What failed is seen, however little it is.
    const width = part && size ? Math.max((100 * part) / size, kind === 'fail' ? 0.6 : 0) : 0;
    const wanted = `${width.toFixed(2)}%`;
    const piece = bar.getElementsByClassName(kind)[0];
    if (piece.style.width !== wanted) piece.style.width = wanted;
  }
  const over = batch.size == null ? `${count(batch.over)} settled, total unknown` : `${count(batch.over)} of ${jobs(batch.size)}`;
  if (batch.size != null) {
    attribute(bar, 'aria-valuemax', size);
    attribute(bar, 'aria-valuenow', batch.over);
  }
  attribute(bar, 'aria-valuetext', over);
  show(bar, batch.size != null);
  put(find('over'), over);
  put(find('pace'), pace(batch));
  put(find('end'), end(batch));
  show(find('end'), Boolean(find('end').textContent));
  attribute(find('end'), 'class', `why end ${batch.why && isOpen(batch) ? 'warn' : ''}`);

  const counts = Object.entries(batch.settled).filter(([, number]) => number);
  sync(find('counts'), counts, ([outcome]) => outcome,
    ([outcome]) => el('li', { class: OUTCOMES[outcome].kind }, `${OUTCOMES[outcome].word} `, el('b', {})),
    (node, [, number]) => put(node.lastChild, count(number)));
  const parts = [...new Set(batch.parts.map((part) => `${part.provider} ${part.lane}`))].join(', ');
  put(find('told'), [parts, `begun ${when(batch.created_at)}`].filter(Boolean).join(' · '));
  put(find('failures'), `Show ${count(batch.failed)} ${batch.failed === 1 ? 'failure' : 'failures'}`);
  show(find('failures'), batch.failed > 0);
  show(find('cancel'), batch.state === 'running' || batch.state === 'idle');
}

function pace(batch) {
  const parts = [];
  if (batch.size) parts.push(percent(Math.min(batch.over, batch.size), batch.size));
  if (isOpen(batch) && batch.left != null) parts.push(`${count(batch.left)} left`);
  if (isOpen(batch) && batch.pace) parts.push(`${rate(Math.round(batch.pace * 10) / 10)}/s lately`);
  return parts.length ? `· ${parts.join(' · ')}` : '';
}

/** When it is over, was over, or why nobody can tell. */
function end(batch) {
  const parts = [];
  if (batch.cancelled) {
    const { by, at, why } = batch.cancelled;
    parts.push(`Cancelled by ${by} at ${when(at)}${why ? `: “${why}”` : ''}.`);
  }
  if (isOver(batch)) {
    const took = (Date.parse(batch.last_settled_at) - Date.parse(batch.created_at)) / 1000;
    if (batch.last_settled_at) parts.push(`Over at ${when(batch.last_settled_at)}, after ${span(took)}.`);
  } else if (batch.eta_seconds != null) {
    const at = clock.now() + 1000 * batch.eta_seconds;
    parts.push(`About ${span(batch.eta_seconds)} to go: until ${when(at)}.`);
  } else if (batch.why) {
    parts.push(batch.state === 'idle' ? `Nobody told its size, and nothing of it waits${batch.last_settled_at ? `; the last one was settled ${since(batch.last_settled_at)}` : ''}.` : `No end in sight: ${spoken(batch.why)}.`);
  }
  return parts.join(' ');
}

/** Times in sentences of the server are for machines. */
const spoken = (text) => text.replace(/since (\d{4}-\d\d-\d\dT[\d:.]+Z)/, (_, moment) => since(moment));

async function stop(batch) {
  const left = batch.left == null ? 'How many jobs are left is not known: whatever' : `${jobs(batch.left)} ${batch.left === 1 ? 'is' : 'are'} left: what`;
  const done = await change(`/api/batches/${encodeURIComponent(batch.id)}/cancel`, {
    title: `Cancel batch ${batch.id}?`,
    text: `${left} was not sent yet ends as cancelled. What is on the wire finishes. This cannot be undone.`,
    yes: 'Cancel the batch',
    no: 'Let it run',
    danger: true,
    why: 'required',
  });
  if (done) say(`Batch ${batch.id} is cancelled`);
}
