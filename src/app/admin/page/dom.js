// Elements, texts, numbers and times. Whatever comes from data becomes text, never markup.

export const $ = (id) => document.getElementById(id);

/** An element; `children` are nodes or texts. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Changes a text only where it differs, so that nothing is read aloud twice. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function attribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** What goes away with the focus in it leaves the focus to what it was part of. */
export function show(node, shown) {
  if (node.hidden !== shown) return;
  const focused = !shown && node.contains(document.activeElement);
  node.hidden = !shown;
  if (focused) node.closest('[tabindex="-1"]')?.focus({ preventScroll: true });
}

/** One child for each item, kept over updates by its key and moved only where its neighbours change: focus stays. */
export function sync(parent, items, key, make, update) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const names = items.map((item) => String(key(item)));
  const wanted = new Set(names);
  for (const [name, child] of kept) if (!wanted.has(name)) child.remove();
  const focused = document.activeElement;
  let place = parent.firstElementChild;
  items.forEach((item, n) => {
    let child = kept.get(names[n]);
    if (!child) {
      child = make(item);
      child.dataset.key = names[n];
    }
    update(child, item);
    // One that went down the list is moved alone, not all that it was before.
    if (child !== place && child === place?.nextElementSibling) {
      parent.append(place);
      place = child;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  });
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

const whole = new Intl.NumberFormat('en');
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
export const count = (number) => whole.format(number);
export const rate = (number) => (Number.isInteger(number) ? whole : tenth).format(number);
export const percent = (part, all) => `${tenth.format(Math.floor((1000 * part) / all) / 10)} %`;
export const jobs = (number) => (number === 1 ? '1 job' : `${count(number)} jobs`);

/** The server's clock, as far as it told. */
export const clock = {
  ahead: 0,
  told(at) { this.ahead = Date.parse(at) - Date.now(); },
  now() { return Date.now() + this.ahead; },
};

const two = (number) => String(number).padStart(2, '0');
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** In the viewer's zone; with the day where it is not today. */
export function when(moment) {
  const date = new Date(moment);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const today = new Date(clock.now());
  if (date.toDateString() === today.toDateString()) return time;
  const year = date.getFullYear() === today.getFullYear() ? '' : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${months[date.getMonth()]}${year} ${time}`;
}

export function timeOf(moment) {
  return el('time', { datetime: moment, title: moment }, when(moment));
}

/** Seconds in words of at most two units. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return s % 60 && s < 600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.round(s / 60)} min`;
  const minutes = Math.floor(s / 60);
  if (minutes < 48 * 60) return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
  return `${Math.floor(minutes / 1440)} days`;
}

export const secondsSince = (moment) => (clock.now() - Date.parse(moment)) / 1000;
export const since = (moment) => `since ${when(moment)} (${span(secondsSince(moment))})`;

/** Says something once, for eyes and ears. */
let quiet;
export function say(text) {
  put($('said'), text);
  clearTimeout(quiet);
  quiet = setTimeout(() => put($('said'), ''), 4000);
}

/** An ID and a button that copies it. */
export function copyable(text, what) {
  if (!text) return el('span', { class: 'sub' }, 'none');
  const button = el('button', { type: 'button', class: 'quiet small', 'aria-label': `Copy ${what} ${text}` }, 'Copy');
  button.addEventListener('click', async () => say((await copy(text)) ? `Copied ${text}` : 'Could not copy'));
  return el('span', { class: 'copy' }, el('span', { class: 'id' }, text), button);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not on loopback and without TLS there is no clipboard but this old way.
    const area = el('textarea', { readonly: true });
    area.value = text;
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    focused?.focus();
    return copied;
  }
}
