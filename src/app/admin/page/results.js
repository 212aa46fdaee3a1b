// Results: the latest failures, and search.

import { $, copyable, count, el, put, secondsSince, show, sync, timeOf, when } from './dom.js';

export const OUTCOMES = {
  dismissed: { word: 'Dismissed', kind: 'good' },
  already_gone: { word: 'Already gone', kind: 'good' },
  rejected: { word: 'Rejected', kind: 'fail' },
  exhausted: { word: 'Exhausted', kind: 'fail' },
  invalid: { word: 'Invalid', kind: 'fail' },
  expired: { word: 'Expired', kind: 'fail' },
  cancelled: { word: 'Cancelled', kind: 'none' },
};
/** As the server's filter writes them. */
export const FAILURES = Object.keys(OUTCOMES).filter((name) => OUTCOMES[name].kind === 'fail').join();
const NAMES = { room: 'room', job: 'job', batch: 'batch', request_id: 'request ID' };

const fault = (error) => (error ? [error.code, error.message].filter(Boolean).join(': ') : '');
const tries = (result) => (result.attempts === 1 ? '1 attempt' : `${count(result.attempts)} attempts`);
const outcome = (name) => el('span', { class: `outcome ${OUTCOMES[name].kind}` }, OUTCOMES[name].word);

const FEW = 8;
/** The server tells of no more. */
const MOST = 20;
let all = false;
let last;

// --- the latest failures -----------------------------------------------------------------------------------------

export function render(snapshot) {
  last = snapshot;
  const { failures, ledger } = snapshot;
  const shown = all ? failures : failures.slice(0, FEW);
  let note = '';
  if (ledger === 'none') note = 'No ledger is configured, so failures cannot be shown: set url in the section [ledger].';
  else if (!failures.length) note = ledger === 'away' ? 'The ledger is away: failures come when it is back.' : 'None.';
  put($('failures-note'), note);
  show($('failures-note'), Boolean(note));
  show($('failure-table'), failures.length > 0);
  const key = (failure) => `${failure.job_id} ${failure.run} ${failure.settled_at}`;
  sync($('failure-rows'), shown, key, row, (node, failure) => put(node.querySelector('time'), when(failure.settled_at)));
  show($('failures-more'), shown.length < failures.length);
  put($('failures-more'), `Show ${failures.length - shown.length} more`);
  const asked = ledger !== 'none';
  for (const field of $('search-form').elements) if (field.disabled === asked) field.disabled = !asked;
  if (!asked) put($('search-note'), 'No ledger is configured, so there is nothing to search: set url in the section [ledger].');
}

/** What went wrong in the last hour, in a sentence. */
export function lately({ failures }) {
  const recent = failures.filter((failure) => secondsSince(failure.settled_at) < 3600);
  if (!recent.length) return '';
  const number = recent.length === MOST ? `At least ${MOST} jobs` : recent.length === 1 ? '1 job' : `${recent.length} jobs`;
  return `${number} failed in the last hour, the latest at ${when(recent[0].settled_at)}.`;
}

function row(failure) {
  const cell = (label, attributes, ...children) => el('td', { role: 'cell', 'data-label': label, ...attributes }, ...children);
  const job = el('button', { type: 'button', class: 'quiet small', 'aria-label': `Attempts of job ${failure.job_id}` }, tries(failure));
  job.addEventListener('click', () => lookFor('job', failure.job_id, ''));
  return el('tr', { role: 'row' },
    cell('', { class: 'time' }, timeOf(failure.settled_at)),
    cell('', {}, el('div', { class: 'id' }, failure.room_id ?? 'no room'), el('div', { class: 'sub' }, [failure.provider ?? 'no provider', failure.batch_id && `batch ${failure.batch_id}`].filter(Boolean).join(' · '))),
    cell('', {}, outcome(failure.outcome), ' ', fault(failure.error)),
    cell('Request ID', {}, copyable(failure.request_id, 'request ID')),
    cell('', {}, job));
}

// --- search ------------------------------------------------------------------------------------------------------

let asked = 0;
let exact;

export function start() {
  $('failures-more').addEventListener('click', () => {
    const before = $('failure-rows').children.length;
    all = true;
    render(last);
    $('failure-rows').children[before]?.querySelector('button')?.focus();
  });
  $('search-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const [kind, typed, which] = ['search-kind', 'search-text', 'search-outcome'].map((id) => $(id).value);
    // An ID may begin with a space; what somebody copied by hand rather does not.
    const text = typed === exact ? typed : typed.trim();
    const wanted = new URLSearchParams(which ? { [kind]: text, outcome: which } : { [kind]: text });
    // The address can be sent to somebody else.
    history.replaceState(null, '', `#${wanted}`);
    look(wanted);
  });
  const told = new URLSearchParams(location.hash.slice(1));
  const kind = Object.keys(NAMES).find((name) => told.get(name));
  if (kind) lookFor(kind, told.get(kind), told.get('outcome') ?? '');
}

export function lookFor(kind, text, which) {
  exact = text;
  $('search-kind').value = kind;
  $('search-text').value = text;
  $('search-outcome').value = which;
  $('search-form').requestSubmit();
  $('search').scrollIntoView();
  $('search-text').focus({ preventScroll: true });
}

/** One page of results, behind those that are shown where `next` says so. */
async function look(wanted, next) {
  const mine = ++asked;
  const query = new URLSearchParams(wanted);
  query.set('limit', '20');
  if (next) query.set('next', next);
  put($('search-note'), 'Searching…');
  let page;
  try {
    const answer = await fetch(`/api/results?${query}`, { signal: AbortSignal.timeout(15000) });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    page = await answer.json();
  } catch (error) {
    if (mine !== asked) return;
    put($('search-note'), `No answer: ${error.message}`);
    if (!next) {
      // What stood here belonged to another question.
      $('search-list').replaceChildren();
      show($('search-more'), false);
    }
    return;
  }
  if (mine !== asked) return;
  const items = page.results.map(item);
  if (next) {
    $('search-list').append(...items);
    items[0]?.focus({ preventScroll: true });
  } else $('search-list').replaceChildren(...items);
  const number = $('search-list').children.length;
  const found = number === 1 ? '1 result' : `${count(number)} results`;
  put($('search-note'), number ? `${found}${page.next ? ', and there are more' : ''}, the latest first.` : nothing(wanted));
  show($('search-more'), Boolean(page.next));
  $('search-more').onclick = () => look(wanted, page.next);
}

function nothing(wanted) {
  const kind = Object.keys(NAMES).find((name) => wanted.get(name));
  return `The ledger knows no result of ${NAMES[kind]} ${wanted.get(kind)}${wanted.get('outcome') ? ' with that outcome' : ''}.`;
}

function item(result) {
  const facts = [
    ['Request ID', copyable(result.request_id, 'request ID')],
    ['Job', copyable(result.job_id, 'job ID')],
    ['Batch', result.batch_id && el('span', { class: 'id' }, result.batch_id)],
    ['App', result.app_id && el('span', { class: 'id' }, result.app_id)],
    ['Reason', result.reason],
    ['Asked by', result.requested_by],
    ['Labels', Object.entries(result.labels).map(([name, value]) => `${name}=${value}`).join(', ')],
    ['Run', result.run > 1 && `${result.run}: it was redriven`],
    ['Received', timeOf(result.received_at)],
    ['Worker', result.worker],
  ].filter(([, value]) => value);
  return el('li', { tabindex: -1 },
    el('div', { class: 'head' }, el('h3', { class: 'id' }, result.room_id ?? 'no room'), el('span', {}, outcome(result.outcome), ' ', timeOf(result.settled_at))),
    el('p', { class: 'sub' }, [result.provider ?? 'no provider', result.lane && `${result.lane} lane`, result.http_status && `HTTP ${result.http_status}`].filter(Boolean).join(' · ')),
    result.error && el('p', {}, fault(result.error)),
    el('dl', { class: 'facts' }, ...facts.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)])),
    attempts(result));
}

function attempts(result) {
  if (!result.attempts) return el('p', { class: 'sub' }, 'No request was sent.');
  const head = ['Sent', 'Verdict', 'Took', 'Request ID'].map((name) => el('th', { role: 'columnheader', scope: 'col' }, name));
  const cell = (label, ...children) => el('td', { role: 'cell', 'data-label': label }, ...children);
  const rows = result.attempt_log.map((record) => el('tr', { role: 'row' },
    cell('', timeOf(record.at)),
    cell('', [record.verdict, record.http_status && `HTTP ${record.http_status}`].filter(Boolean).join(', '), record.error && el('div', { class: 'sub' }, fault(record.error))),
    cell('Took', `${count(record.duration_ms)} ms`),
    cell('Request ID', copyable(record.request_id, 'request ID'))));
  const omitted = result.attempts_omitted ? `; the first ${count(result.attempts_omitted)} are no longer known` : '';
  return el('details', {}, el('summary', {}, tries(result) + omitted),
    el('table', { role: 'table', 'aria-label': 'Attempts' }, el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, ...head)), el('tbody', { role: 'rowgroup' }, ...rows)));
}
