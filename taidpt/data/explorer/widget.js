// The part of the Explorer that follows the pointer: photos to choose from, what is looked at, and the classes.
// `model` is the Python side, with the traits of `_Look`.

const el = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) k in node ? node[k] = v : node.setAttribute(k, v);
  node.append(...children);
  return node;
};


// What is on the page

function page(root) {
  const list = name => el('div', {role: 'listbox', 'aria-label': name});
  const p = {
    gallery: list('Pictures'), classes: list('Classes, those present first'), axis: el('div', {'aria-hidden': 'true'}),
    photo: el('img'), view: el('div', {role: 'img'}), words: el('p'), about: el('figcaption'), where: el('figcaption'),
    told: el('p', {role: 'status'}), credit: el('p'), hint: el('p'),
    file: el('input', {type: 'file', accept: 'image/*'}),
  };
  for (const name in p) p[name].classList.add(name);
  p.bars = el('div', {className: 'bars'}, p.axis, p.classes);
  root.classList.add('taidpt-explorer');
  root.setAttribute('data-lm-suppress-shortcuts', 'true');  // keys are for the app, not for JupyterLab
  root.append(el('div', {className: 'main'},
    el('div', {className: 'left'},
       el('div', {className: 'seen'}, el('figure', {}, p.photo, p.about), el('figure', {}, p.view, p.where)),
       p.words, p.told, p.gallery, el('label', {}, 'Your own photo ', p.file), p.credit),
    el('div', {className: 'right'}, p.hint, p.bars)));
  return p;
}


// What a person can do: point at a class, choose a photo

const options = box => [...box.querySelectorAll('[role=option]')];

// One stop of the Tab key; two arrow keys, Home and End move within.
function roving(box, back, on) {
  box.addEventListener('keydown', e => {
    const all = options(box), i = all.indexOf(e.target);
    const to = all[{[back]: i - 1, [on]: i + 1, Home: 0, End: all.length - 1}[e.key]];
    if (i >= 0 && to) { e.preventDefault(); to.focus(); }
  });
  box.addEventListener('focusin', e => {
    for (const o of options(box)) o.tabIndex = o === e.target ? 0 : -1;
  });
}

// A file as it is, or a large picture made smaller: Jupyter takes at most 10 MB at once.
async function content(file) {
  if (file.size < 8e6) return file.arrayBuffer();
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, 2048 / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return (await canvas.convertToBlob({type: 'image/jpeg', quality: 0.95})).arrayBuffer();
}

function listen(model, p, point) {
  const option = e => e.target.closest('[role=option]');
  const focused = () => p.classes.contains(document.activeElement) ? document.activeElement.dataset.name ?? '' : '';
  const look = e => { if (option(e)) point(option(e).dataset.name); };
  roving(p.classes, 'ArrowUp', 'ArrowDown');
  p.classes.addEventListener('mouseover', look);
  p.classes.addEventListener('mouseleave', () => point(focused()));
  p.classes.addEventListener('focusin', look);
  p.classes.addEventListener('focusout', e => { if (!p.classes.contains(e.relatedTarget)) point(''); });

  const choose = e => { if (option(e)) model.send({show: options(p.gallery).indexOf(option(e))}); };
  roving(p.gallery, 'ArrowLeft', 'ArrowRight');
  p.gallery.addEventListener('click', choose);
  p.gallery.addEventListener('keydown', e => {
    if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); choose(e); }
  });

  p.file.addEventListener('change', async () => {
    const file = p.file.files[0];
    if (!file) return;
    try { model.send({upload: file.name}, undefined, [await content(file)]); }
    catch { model.send({upload: file.name}, undefined, [new ArrayBuffer(0)]); }   // Python says what is wrong
    p.file.value = '';                                      // the same file may be chosen again
  });
}


// The order of the list is that of what it shows: those present, then the others, each by score

const present = ([, score, , limit]) => limit !== null && score >= limit;
const sorted = tags => [...tags].sort((a, b) => present(b) - present(a) || b[1] - a[1]);


// A class as a row of the list: a sign, its name, a bar from zero to its score, its threshold, the score

// Ticks at round numbers, zero among them, around all scores and thresholds
function axis(tags) {
  const seen = [0, ...tags.flatMap(([, score, , limit]) => limit === null ? [score] : [score, limit])];
  const low = Math.min(...seen), high = Math.max(...seen), least = (high - low || 1) / 5, power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => s >= 0.999 * least), ticks = [];
  for (let k = Math.floor(low / step); k <= Math.ceil(high / step); k++) ticks.push(k * step);
  return ticks.length > 1 ? ticks : [0, step];
}
const ends = ticks => [ticks[0], ticks.at(-1)];

const spelled = score => (+score.toFixed(2) + 0).toFixed(2);  // no minus before a zero

function row(tag, at) {
  const [name, score, added, limit] = tag, known = limit !== null, found = present(tag);
  const track = el('span', {className: 'track'});
  const from = Math.min(at(0), at(score)), to = Math.max(at(0), at(score));
  track.append(el('i', {style: `left: ${from}%; width: ${to - from}%`}));
  if (known) track.append(el('b', {style: `left: ${at(limit)}%`, title: `threshold ${spelled(limit)}`}));
  const verdict = known ? `, ${found ? 'present' : 'absent'}, threshold ${spelled(limit)}` : '';
  const o = el('div', {role: 'option', className: known ? found ? 'present' : 'absent' : '', tabIndex: -1,
                       'aria-label': `${name}, score ${spelled(score)}${added ? ', added' : ''}${verdict}`},
               el('span', {className: 'sign'}, known ? found ? '✓' : '–' : ''),
               el('span', {className: 'class'}, name + (added ? ' +' : '')),
               track,
               el('span', {className: 'score'}, spelled(score)));
  o.dataset.name = name;
  return o;
}


// A map, h × w, and the photo below it: clear where it is highest, dark elsewhere

function unit(xs) {
  const low = Math.min(...xs), high = Math.max(...xs);
  return xs.map(x => (x - low) / (high - low || 1));
}

function shade(map) {
  const canvas = el('canvas', {width: map[0].length, height: map.length}), pen = canvas.getContext('2d');
  const image = pen.createImageData(canvas.width, canvas.height);
  unit(map.flat()).forEach((x, j) => { image.data[4 * j + 3] = Math.round(215 * (1 - x)); });
  pen.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

// The class whose score is closest to its threshold, of those below
const nearest = tags => tags.reduce((a, b) => a[1] - a[3] >= b[1] - b[3] ? a : b)[0];

function highest(map) {
  const all = map.flat(), w = map[0].length, j = all.indexOf(Math.max(...all));
  const row = ['top', 'middle', 'bottom'][Math.floor(3 * Math.floor(j / w) / map.length)];
  const column = ['left', 'centre', 'right'][Math.floor(3 * (j % w) / w)];
  return `at the ${row} ${column}`.replace('at the middle centre', 'in the centre');
}


// How each trait is shown, whenever it changes; `point` shows the class under the pointer, or else the first

function drawing(model, p) {
  let hover = '', listed = new Set();
  const at = score => {                                     // per cent of the axis, from left to right
    const [low, high] = ends(axis(model.get('tags')));
    return 100 * Math.min(1, Math.max(0, (score - low) / (high - low)));
  };
  const point = name => {
    const tags = sorted(model.get('tags')), {photo, words} = model.get('item');
    if (!tags.length) return;
    hover = tags.some(tag => tag[0] === name) ? name : '';
    const tag = tags.find(tag => tag[0] === hover) ?? tags[0], [first, score, , limit, map] = tag;
    const bars = unit(map.flat()), best = bars.indexOf(1), place = words.length ? `at “${words[best]}”` : highest(map);
    const known = limit !== null, found = tags.filter(present).map(([n]) => n);
    for (const o of options(p.classes)) {
      const here = o.dataset.name === hover;
      o.setAttribute('aria-selected', here);
      if (here && !p.classes.matches(':hover, :focus-within'))
        p.bars.scrollTop = o.offsetTop - p.bars.clientHeight / 2;
    }
    p.where.textContent = `Where ${first} scores high; highest ${place}.`;
    p.view.setAttribute('aria-label', p.where.textContent);
    p.view.style.backgroundImage = photo ? `url(${shade(map)}), url(${photo})` : '';
    p.words.replaceChildren(...words.map((w, i) => el('span', {className: i === best ? 'best' : ''},
      el('i', {style: `height: ${2.5 * bars[i]}em`}), w)));
    const verdict = known ? `, ${present(tag) ? 'present' : 'absent'} (threshold ${spelled(limit)})` : '';
    p.told.textContent = hover ? `${hover}: score ${spelled(score)}${verdict}, highest ${place}.`
      : !known ? `Best: ${tags.slice(0, 3).map(([n, s]) => `${n} ${spelled(s)}`).join(', ')}.`
      : found.length ? `Present: ${found.join(', ')}.` : `Nothing reaches its threshold; ${nearest(tags)} comes nearest.`;
  };

  const draw = {
    gallery() {
      p.gallery.replaceChildren(...model.get('gallery').map(([alt, src], i) =>
        el('div', {role: 'option', tabIndex: i ? -1 : 0, 'aria-label': alt, title: alt}, el('img', {src, alt: ''}))));
      p.gallery.hidden = !p.gallery.children.length;
      draw.item();
    },
    item() {
      const {shown, photo, words, about, credit} = model.get('item'), all = [...p.gallery.children], now = all[shown];
      for (const o of all) o.setAttribute('aria-selected', o === now);
      requestAnimationFrame(() => {                         // when there is room for it on the page
        if (now) p.gallery.scrollLeft = now.offsetLeft - p.gallery.clientWidth / 2;
      });
      for (const part of [p.photo, p.view]) part.parentNode.hidden = !photo;
      p.words.hidden = !words?.length;
      if (photo) p.photo.src = photo;
      p.photo.alt = p.about.textContent = about ?? '';
      p.credit.textContent = credit ?? '';
    },
    tags() {
      const tags = sorted(model.get('tags')), ticks = axis(tags), held = p.classes.contains(document.activeElement);
      const known = tags.some(tag => tag[3] !== null), rows = tags.map(tag => row(tag, at));
      const group = (name, kind) => {
        const inside = rows.filter(o => o.className === kind), head = `${name} (${inside.length})`;
        return el('div', {role: 'group', 'aria-label': head, hidden: !inside.length},
                  el('span', {className: 'head', 'aria-hidden': 'true'}, head), ...inside);
      };
      const line = t => `linear-gradient(var(--line), var(--line)) ${at(t)}% 0 / 1px 100% no-repeat`;
      p.bars.style.setProperty('--ticks', ticks.map(line).join(', '));
      p.axis.replaceChildren(el('span', {className: 'track'}, ...ticks.map(t =>
        el('s', {style: `left: ${at(t)}%`}, `${+t.toFixed(6)}`))));
      p.bars.parentNode.hidden = !tags.length;
      p.classes.replaceChildren(...known ? [group('Present', 'present'), group('Absent', 'absent')] : rows);
      p.hint.textContent = 'Point at a class or tap it, or reach it with Tab and the arrow keys, to see where it looks.'
        + (known ? ' The upright line is its threshold: it is present from there on. Classes are in the order of their scores, those present first.' : '');
      const fresh = listed.size && tags.find(([name, , added]) => added && !listed.has(name));
      listed = new Set(tags.map(tag => tag[0]));
      point(fresh ? fresh[0] : hover);
      const first = options(p.classes).find(o => o.dataset.name === hover) ?? options(p.classes)[0];
      if (first) first.tabIndex = 0;
      if (held) first?.focus();
    },
  };
  return [draw, point];
}


function render({model, el: root}) {
  const p = page(root), [draw, point] = drawing(model, p);
  listen(model, p, point);
  for (const trait in draw) { draw[trait](); model.on('change:' + trait, draw[trait]); }
  return () => { for (const trait in draw) model.off('change:' + trait, draw[trait]); };
}
export default {render};
