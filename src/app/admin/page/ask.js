// Changes: asked for in a dialog, then sent; with the admin token where the port wants one.

import { $, put, say, show } from './dom.js';

const TOKEN = 'roomsweep.token';
const NAME = 'roomsweep.name';

/** Sends a change. An error's message is what the server says. */
async function post(path, body) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { 'content-type': 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(15000) });
  } catch {
    throw new Error('The worker does not answer: whether it was done is not known.');
  }
  if (answer.status === 401) {
    sessionStorage.removeItem(TOKEN);
    return { wants: 'token', again: Boolean(token) };
  }
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return { done: await answer.json() };
}

/**
 * Asks, and sends when confirmed; what the server answered, or null where it was left.
 * `why` is 'required' or 'optional'.
 */
export function change(path, { title, text, yes, no, danger, why }) {
  const dialog = $('ask');
  put($('ask-title'), title);
  put($('ask-text'), text);
  put($('ask-yes'), yes);
  put($('ask-no'), no);
  put($('ask-error'), '');
  $('ask-yes').classList.toggle('danger', Boolean(danger));
  put($('ask-why-label').firstChild, why === 'required' ? 'Reason' : 'Reason (may be left out)');
  $('ask-why').required = why === 'required';
  $('ask-why').value = '';
  $('ask-by').value = sessionStorage.getItem(NAME) ?? '';
  wantToken(false);
  return new Promise((resolve) => {
    let answer = null;
    let left = false;
    const sending = (is) => { $('ask-yes').disabled = is; $('ask-no').disabled = is; };
    // Escape, while the answer is on its way.
    const stay = (event) => { if ($('ask-yes').disabled) event.preventDefault(); };
    const send = async (event) => {
      event.preventDefault();
      if (!$('ask-token-label').hidden) sessionStorage.setItem(TOKEN, $('ask-token').value.trim());
      sessionStorage.setItem(NAME, $('ask-by').value);
      sending(true);
      put($('ask-error'), '');
      try {
        const { done, wants, again } = await post(path, { by: $('ask-by').value, why: $('ask-why').value });
        if (left) {
          say(`${title} ${done ? 'It was done.' : 'It was not done: the admin token is wanted.'}`);
        } else if (wants) {
          wantToken(true);
          put($('ask-error'), again ? 'That is not the admin token.' : 'This port needs the admin token. It is kept until this tab is closed.');
          $('ask-token').focus();
        } else {
          answer = done;
          dialog.close();
        }
      } catch (error) {
        if (left) say(`${title} ${error.message}`);
        else put($('ask-error'), error.message);
      } finally {
        if (!left) sending(false);
      }
    };
    const leave = () => dialog.close();
    const closed = () => {
      left = true;
      sending(false);
      dialog.removeEventListener('cancel', stay);
      $('ask-form').removeEventListener('submit', send);
      $('ask-no').removeEventListener('click', leave);
      $('ask-token').value = '';
      resolve(answer);
    };
    $('ask-form').addEventListener('submit', send);
    $('ask-no').addEventListener('click', leave);
    dialog.addEventListener('cancel', stay);
    dialog.addEventListener('close', closed, { once: true });
    dialog.showModal();
    $('ask-why').focus();
  });
}

function wantToken(wanted) {
  show($('ask-token-label'), wanted);
  $('ask-token').required = wanted;
  $('ask-token').value = '';
}
