'use strict';
// Show the photos that fit what is chosen, a dozen at a time. A figure of a card has a class of photos
// (data-class) and a kind: yes (tagged, labels unknown), hit, false, miss, or no (not tagged).
const DOZEN = 12, FOUND = ':is(.yes, .hit, .false, .miss)', WRONG = ':is(.false, .miss)';
const KINDS = {right: '.hit', wrong: '.false', missed: '.miss'};
const find = name => document.querySelector(name);
const form = find('.filters'), more = find('.more'), told = find('.told'), cards = [...document.querySelectorAll('.card')];
let most = DOZEN;

function fits(card, number, how) {
  if (number) return !!card.querySelector(`figure${KINDS[how] ?? FOUND}[data-class="${number}"]`);
  if (how === 'right') return !card.querySelector(WRONG);
  return !how || !!card.querySelector(KINDS[how]);
}
const fitting = (number, how) => cards.filter(card => fits(card, number, how));

function show() {
  const how = form.elements.how ? form.elements.how.value : '', fit = fitting(form.elements.which.value, how);
  find('.grid').classList.toggle('sure', !form.elements.absent.checked);
  for (const card of cards) card.classList.add('out');
  fit.forEach((card, i) => { card.classList.remove('out'); card.classList.toggle('later', i >= most); });
  const left = Math.max(0, fit.length - most);
  more.hidden = !left;
  more.textContent = 'Show ' + Math.min(DOZEN, left) + ' more';
  told.textContent = fit.length ? fit.length - left + ' of ' + fit.length + ' photos shown' : 'No photo fits both.';
  return fit;
}

// How many photos each choice has; a class without any is no choice
for (const option of [...form.elements.which.options]) {
  const number = fitting(option.value, '').length;
  option.textContent += ` (${number})`;
  if (option.value && !number) option.remove();
}
for (const radio of document.querySelectorAll('[name=how]'))
  radio.parentNode.append(` (${fitting('', radio.value).length})`);

form.addEventListener('change', () => { most = DOZEN; show(); });
form.addEventListener('submit', event => event.preventDefault());
more.addEventListener('click', () => {
  const before = most;
  most += DOZEN;
  const first = show()[before];
  if (more.hidden) first.focus();
});
form.hidden = told.hidden = false;
show();
