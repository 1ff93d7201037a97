'use strict';
// Show the photos that fit what is chosen, a dozen at a time. A card's classes say what it fits: see _marks.
const DOZEN = 12;
const find = name => document.querySelector(name);
const form = find('.filters'), more = find('.more'), told = find('.told'), cards = [...document.querySelectorAll('.card')];
let most = DOZEN;

function wanted() {
  const place = form.elements.which.value;
  const how = form.elements.how ? form.elements.how.value : '';
  if (!place) return how;
  return (how ? how[0] : 'c') + place;
}

function show() {
  const mark = wanted(), fit = cards.filter(card => !mark || card.classList.contains(mark));
  find('.grid').classList.toggle('sure', !form.elements.absent.checked);
  for (const card of cards) card.classList.add('out');
  fit.forEach((card, i) => { card.classList.remove('out'); card.classList.toggle('later', i >= most); });
  const left = Math.max(0, fit.length - most);
  more.hidden = !left;
  more.textContent = 'Show ' + Math.min(DOZEN, left) + ' more';
  told.textContent = fit.length ? fit.length - left + ' of ' + fit.length + ' photos shown' : 'No photo fits both.';
  return fit;
}

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
