// The Explorer in the browser. `model` is the Python side: it has traits, and takes messages.


// What is on the page

const el = (tag, props = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) k in node ? node[k] = v : node.setAttribute(k, v);
  node.append(...children);
  return node;
};

function page(root) {
  const id = 'e' + Math.random().toString(36).slice(2);
  const text = (name, placeholder) =>
    el('input', {type: 'text', id: id + name, placeholder, autocomplete: 'off'});
  const label = (name, words) => el('label', {htmlFor: id + name}, words);
  const list = name => el('div', {role: 'listbox', 'aria-label': name});
  const button = words => el('button', {type: 'submit'}, words);
  const p = {
    prompts: el('select', {id: id + 'prompts'}),
    file: el('input', {type: 'file', id: id + 'file', accept: 'image/*,.safetensors'}),
    gallery: list('Pictures'),
    classes: list('Classes, best first'),
    axis: el('div', {'aria-hidden': 'true'}),
    added: el('ul', {'aria-label': 'Classes that were added'}),
    sentence: text('sentence', 'A dog runs behind a bus.'),
    name: text('name', 'fire hydrant'),
    photo: el('img'),
    view: el('img'),
    words: el('p'),
    about: el('figcaption'),
    where: el('figcaption'),
    told: el('p', {role: 'status'}),
    credit: el('p'),
    busy: el('p', {role: 'status'}),
    message: el('p', {role: 'alert'}),
  };
  for (const name in p) p[name].classList.add(name);
  p.read = el('form', {}, label('sentence', 'Or a sentence'), p.sentence, button('Read'));
  p.add = el('form', {}, label('name', 'Add a class'), p.name, button('Add'));
  p.hint = el('p', {className: 'hint'});
  p.bars = el('div', {className: 'bars'}, p.axis, p.classes);
  const shown = (...parts) => el('figure', {}, ...parts);
  root.classList.add('taidpt-explorer');
  root.setAttribute('data-lm-suppress-shortcuts', 'true');  // keys are for the app, not for JupyterLab
  root.append(el('div', {className: 'main'},
    el('div', {className: 'left'},
       el('div', {className: 'seen'}, shown(p.photo, p.about), shown(p.view, p.where)),
       p.words, p.told, p.gallery, p.read, p.credit),
    el('div', {className: 'right'},
       el('div', {className: 'bar'}, label('prompts', 'Prompts'), p.prompts),
       el('div', {className: 'bar'}, label('file', 'Your picture, or prompts'), p.file),
       p.hint, p.bars, p.add, p.added, p.busy, p.message)));
  return p;
}


// Asking Python for something: until it answers there is a sign of it, and nothing else can be asked

function asking(model, p, root) {
  let before = null, then = () => {};
  const parts = () => root.querySelectorAll('input, select, button');
  const busy = words => {
    p.busy.textContent = words;
    root.setAttribute('aria-busy', words !== '');
    for (const part of parts()) part.disabled = words !== '';
  };
  const answered = content => {
    if (!content.done) return;
    busy('');
    if (root.contains(before) && document.activeElement === document.body) before.focus();
    then();
  };
  model.on('msg:custom', answered);
  const ask = (content, words, after = () => {}, buffers = []) => {
    if (p.busy.textContent) return;
    before = document.activeElement;
    then = after;
    busy(words);
    model.send(content, undefined, buffers);
  };
  return {ask, stop: () => model.off('msg:custom', answered)};
}


// What a person can do

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

function listen(model, p, ask) {
  const set = (trait, value) => {
    if (value !== model.get(trait)) { model.set(trait, value); model.save_changes(); }
  };
  const option = e => e.target.closest('[role=option]');
  const focused = () => {
    const here = document.activeElement;
    return p.classes.contains(here) ? here.dataset.name ?? '' : '';
  };
  const look = e => { if (option(e)) set('hover', option(e).dataset.name); };
  roving(p.classes, 'ArrowUp', 'ArrowDown');
  p.classes.addEventListener('mouseover', look);
  p.classes.addEventListener('mouseleave', () => set('hover', focused()));
  p.classes.addEventListener('focusin', look);
  p.classes.addEventListener('focusout', e => {
    if (!p.classes.contains(e.relatedTarget)) set('hover', '');
  });

  const choose = e => {
    if (option(e)) ask({show: options(p.gallery).indexOf(option(e))}, 'Looking at the picture …');
  };
  roving(p.gallery, 'ArrowLeft', 'ArrowRight');
  p.gallery.addEventListener('click', choose);
  p.gallery.addEventListener('keydown', e => {
    if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); choose(e); }
  });

  p.prompts.addEventListener('change', () => {
    const name = p.prompts.value;
    ask({prompts: name}, `Scoring with ${name} …`, () => { p.prompts.value = model.get('prompts'); });
  });
  p.read.addEventListener('submit', e => {
    e.preventDefault();
    ask({read: p.sentence.value}, 'Reading the sentence …');
  });
  p.add.addEventListener('submit', e => {
    e.preventDefault();
    const name = p.name.value;
    ask({add: name}, `Encoding “${name}” …`, () => model.get('message') ? p.name.select() : p.name.value = '');
  });
  p.added.addEventListener('click', e => {
    const name = e.target.closest('button')?.dataset.name;
    if (name) ask({remove: name}, `Taking “${name}” away …`, () => p.name.focus());
  });
  p.file.addEventListener('change', async () => {
    const file = p.file.files[0];
    if (!file) return;
    try { ask({upload: file.name}, `Reading ${file.name} …`, undefined, [await content(file)]); }
    catch { set('message', file.name + ' is too large, and no picture that can be made smaller here.'); }
    p.file.value = '';                                      // the same file may be chosen again
  });
}


// A class as a row of the list: a sign, its name, a bar from zero to its score, its threshold, the score

const spelled = score => (+score.toFixed(2) + 0).toFixed(2);  // no minus before a zero

function row([name, score, added], limit, at) {
  const known = limit !== undefined, present = known && score >= limit;
  const track = el('span', {className: 'track'});
  const from = Math.min(at(0), at(score)), to = Math.max(at(0), at(score));
  track.append(el('i', {style: `left: ${from}%; width: ${to - from}%`}));
  if (known) track.append(el('b', {style: `left: ${at(limit)}%`, title: `threshold ${spelled(limit)}`}));
  const verdict = known ? `, ${present ? 'present' : 'absent'}, threshold ${spelled(limit)}` : '';
  const o = el('div', {role: 'option', className: known ? present ? 'present' : 'absent' : '', tabIndex: -1,
                       'aria-label': `${name}, score ${spelled(score)}${added ? ', added' : ''}${verdict}`},
               el('span', {className: 'sign'}, known ? present ? '✓' : '–' : ''),
               el('span', {className: 'class'}, name + (added ? ' +' : '')),
               track,
               el('span', {className: 'score'}, spelled(score)));
  o.dataset.name = name;
  return o;
}


// How each trait is shown, whenever it changes

function drawing(model, p) {
  const url = bytes => URL.createObjectURL(new Blob([bytes], {type: 'image/jpeg'}));
  const picture = name => {
    const bytes = model.get(name), image = p[name];
    image.parentNode.hidden = !bytes.byteLength;
    URL.revokeObjectURL(image.src);
    if (bytes.byteLength) image.src = url(bytes);
  };
  const at = score => {                                     // per cent of the axis, from left to right
    const ticks = model.get('axis'), low = ticks[0], high = ticks.at(-1);
    return 100 * Math.min(1, Math.max(0, (score - low) / (high - low)));
  };
  const draw = {
    models() {
      p.prompts.replaceChildren(...model.get('models').map(m => el('option', {value: m}, m)));
      draw.prompts();
    },
    prompts() { p.prompts.value = model.get('prompts'); },
    gallery() {
      p.gallery.replaceChildren(...model.get('gallery').map(([alt, bytes], i) =>
        el('div', {role: 'option', tabIndex: i ? -1 : 0, 'aria-label': alt, title: alt},
           el('img', {src: url(bytes), alt: ''}))));
      p.gallery.hidden = !p.gallery.children.length;
      draw.shown();
    },
    shown() {
      const all = [...p.gallery.children], now = all[model.get('shown')];
      for (const o of all) o.setAttribute('aria-selected', o === now);
      requestAnimationFrame(() => {                         // when there is room for it on the page
        if (now) p.gallery.scrollLeft = now.offsetLeft - p.gallery.clientWidth / 2;
      });
    },
    photo() { picture('photo'); },
    view() { picture('view'); },
    words() {
      const heights = model.get('weights'), best = Math.max(...heights);
      p.words.hidden = !model.get('words').length;
      p.words.replaceChildren(...model.get('words').map((w, i) =>
        el('span', {className: heights[i] === best ? 'best' : ''},
           el('i', {style: `height: ${2.5 * (heights[i] ?? 0)}em`}), w)));
    },
    weights() { draw.words(); },
    about() { p.about.textContent = p.photo.alt = model.get('about'); },
    where() { p.where.textContent = p.view.alt = model.get('where'); },
    told() { p.told.textContent = model.get('told'); },
    credit() { p.credit.textContent = model.get('credit'); },
    message() { p.message.textContent = model.get('message'); },
    added() {
      p.added.replaceChildren(...model.get('added').map(name => {
        const button = el('button', {type: 'button', 'aria-label': `Take ${name} away`}, name, el('span', {}, ' ×'));
        button.dataset.name = name;
        return el('li', {}, button);
      }));
    },
    axis() {
      const line = t => `linear-gradient(var(--line), var(--line)) ${at(t)}% 0 / 1px 100% no-repeat`;
      p.bars.style.setProperty('--ticks', model.get('axis').map(line).join(', ') || 'none');
      p.axis.replaceChildren(el('span', {className: 'track'}, ...model.get('axis').map(t =>
        el('s', {style: `left: ${at(t)}%`}, `${+t.toFixed(6)}`))));
      draw.tags();
    },
    thresholds() { draw.tags(); },
    tags() {
      const limits = model.get('thresholds'), held = p.classes.contains(document.activeElement);
      const rows = model.get('tags').map(tag => row(tag, limits[tag[0]], at));
      const group = (name, kind) => {
        const inside = rows.filter(o => o.className === kind), head = `${name} (${inside.length})`;
        return el('div', {role: 'group', 'aria-label': head, hidden: !inside.length},
                  el('span', {className: 'head', 'aria-hidden': 'true'}, head), ...inside);
      };
      const known = Object.keys(limits).length > 0;
      p.classes.replaceChildren(...known ? [group('Present', 'present'), group('Absent', 'absent')] : rows);
      p.hint.textContent = 'Point at a class or tap it, or reach it with Tab and the arrow keys, to see where it looks.'
        + (known ? ' The upright line is its threshold: it is present from there on.' : '');
      draw.hover();
      const first = options(p.classes).find(o => o.dataset.name === model.get('hover')) ?? options(p.classes)[0];
      if (first) first.tabIndex = 0;
      if (held) first?.focus();
    },
    hover() {
      for (const o of options(p.classes)) {
        const here = o.dataset.name === model.get('hover');
        o.setAttribute('aria-selected', here);
        if (here && !p.classes.matches(':hover, :focus-within'))
          p.bars.scrollTop = o.offsetTop - p.bars.clientHeight / 2;
      }
    },
  };
  return draw;
}


function render({model, el: root}) {
  const p = page(root), draw = drawing(model, p), {ask, stop} = asking(model, p, root);
  listen(model, p, ask);
  for (const trait in draw) { draw[trait](); model.on('change:' + trait, draw[trait]); }
  return () => {
    stop();
    for (const trait in draw) model.off('change:' + trait, draw[trait]);
  };
}
export default {render};
