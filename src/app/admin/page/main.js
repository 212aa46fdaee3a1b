// What is shown is what the server last told; when it no longer tells, the page says so.

import { $, attribute, clock, count, el, jobs, put, sync, when } from './dom.js';
import * as batches from './batches.js';
import * as providers from './providers.js';
import * as results from './results.js';

/** Signs of life come every two seconds. */
const SILENCE = 6000;
/** An end that was planned is mended sooner than this. */
const BLINK = 2500;

let snapshot;
let source;
let heard = Date.now();
let begun;
let broken;
let tries = 0;

function connect() {
  source?.close();
  begun = Date.now();
  source = new EventSource('/api/events');
  source.addEventListener('snapshot', (event) => {
    snapshot = JSON.parse(event.data);
    clock.told(snapshot.at);
    alive();
    render();
  });
  source.addEventListener('beat', (event) => {
    clock.told(JSON.parse(event.data).at);
    alive();
  });
  source.addEventListener('error', lost);
}

function alive() {
  heard = Date.now();
  broken = undefined;
  tries = 0;
  live();
}

function lost() {
  source.close();
  broken ??= Date.now();
  tries += 1;
  setTimeout(connect, Math.min(500 * 2 ** (tries - 1), 5000));
  live();
}

/** Whether what is shown is of now. */
function live() {
  const node = $('live');
  const silent = Date.now() - heard;
  if (silent > SILENCE || (broken && Date.now() - broken > BLINK)) {
    attribute(node, 'class', 'live lost');
    document.body.dataset.live = 'no';
    const from = when(heard + clock.ahead);
    put(node, snapshot ? `▲ Not live since ${from}: what stands here is of then. Trying to reach the worker…` : '▲ The worker does not answer. Trying again…');
  } else if (snapshot) {
    attribute(node, 'class', 'live on');
    document.body.dataset.live = 'yes';
    put(node, '● Live');
  }
}

function tick() {
  // A new connection has as long to say its first word as one that stands has for its next.
  if (source.readyState !== EventSource.CLOSED && Date.now() - Math.max(heard, begun) > SILENCE) lost();
  live();
  if (snapshot && document.body.dataset.live === 'yes') render();
}

function render() {
  const { status } = snapshot;
  put($('where'), `worker ${status.worker} · version ${status.version}`);
  verdict(status);
  providers.render(snapshot);
  batches.render(snapshot);
  results.render(snapshot);
}

/** The one thing to read when there is time for one thing. */
function verdict(status) {
  const lines = [];
  if (status.draining) lines.push({ kind: 'warn', text: 'This worker is draining: it finishes what is on the wire and stops.' });
  if (status.not_ready) lines.push({ kind: 'bad', text: `This worker is not at work: ${status.not_ready}` });
  lines.push(...providers.alarms(snapshot));
  if (status.ledger === 'away') {
    const then = snapshot.ledger_at ? `Batches, pauses and failures are of ${when(snapshot.ledger_at)}.` : 'Batches, pauses and failures are not known.';
    lines.push({ kind: 'warn', text: `The ledger is away; dismissing goes on. ${then}` });
  }
  const failed = results.lately(snapshot);
  if (failed) lines.push({ kind: 'warn', text: failed });
  const wait = providers.allWaiting(snapshot);
  const open = snapshot.batches.filter((batch) => batch.state === 'running').length;
  if (!lines.length) {
    const doing = wait || open ? `${jobs(wait)} ${wait === 1 ? 'waits' : 'wait'}${open ? `, ${open === 1 ? '1 batch is' : `${count(open)} batches are`} running` : ''}.` : 'Nothing waits.';
    lines.push({ kind: 'ok', text: `All is well. ${doing}` });
  }
  const order = { bad: 0, warn: 1, ok: 2 };
  lines.sort((a, b) => order[a.kind] - order[b.kind]);
  sync($('verdict'), lines, (line) => line.kind + unnumbered(line.text), () => el('p'), (node, line) => {
    attribute(node, 'class', line.kind);
    put(node, `${{ bad: '▲ ', warn: '◐ ', ok: '' }[line.kind]}${line.text}`);
  });
  put($('heard'), lines.map((line) => unnumbered(line.text)).join(' '));
  const bad = lines.filter((line) => line.kind === 'bad').length;
  const title = bad ? `▲ ${bad} · roomsweep` : 'roomsweep';
  if (document.title !== title) document.title = title;
}

/** Numbers change all the time, and are not to be read aloud each time. */
const unnumbered = (text) => text.replace(/[\d,]+ jobs? waits?[^.]*\. ?|^.* failed in the last hour.*$/, '').trim();

batches.start();
results.start();
connect();
setInterval(tick, 1000);
