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
  const p = {
    prompts: el('select', {id: id + 'prompts'}),
    file: el('input', {type: 'file', id: id + 'file', accept: 'image/*,.safetensors'}),
    gallery: list('Pictures'),
    classes: list('Classes, best first'),
    sentence: text('sentence', 'A dog runs behind a bus.'),
    name: text('name', 'fire hydrant'),
    view: el('img'),
    words: el('p'),
    told: el('p', {role: 'status'}),
    credit: el('figcaption'),
    message: el('p', {role: 'alert'}),
  };
  for (const name in p) p[name].classList.add(name);
  p.read = el('form', {}, label('sentence', 'Or a sentence'), p.sentence,
              el('button', {type: 'submit'}, 'Read'));
  p.add = el('form', {}, label('name', 'Add a class'), p.name,
             el('button', {type: 'submit'}, 'Add'));
  const hint = el('p', {className: 'hint'},
                  'Point at a class, or reach it with Tab and the arrow keys, to see where it looks.');
  root.classList.add('taidpt-explorer');
  root.setAttribute('data-lm-suppress-shortcuts', 'true');  // keys are for the app, not for JupyterLab
  root.append(
    el('div', {className: 'bar'},
       el('span', {}, label('prompts', 'Prompts'), p.prompts),
       el('span', {}, label('file', 'Your picture, or a file of prompts'), p.file)),
    p.gallery, p.read, p.message,
    el('div', {className: 'main'},
       el('figure', {}, p.view, p.words, p.told, p.credit),
       el('div', {className: 'side'}, hint, p.classes, p.add)));
  return p;
}


// What a person can do

// One stop of the Tab key; two arrow keys, Home and End move within.
function roving(box, back, on) {
  box.addEventListener('keydown', e => {
    const all = [...box.children], i = all.indexOf(e.target);
    const to = all[{[back]: i - 1, [on]: i + 1, Home: 0, End: all.length - 1}[e.key]];
    if (i >= 0 && to) { e.preventDefault(); to.focus(); }
  });
  box.addEventListener('focusin', e => {
    for (const c of box.children) c.tabIndex = c === e.target ? 0 : -1;
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

function listen(model, p) {
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
    if (option(e)) model.send({show: [...p.gallery.children].indexOf(option(e))});
  };
  roving(p.gallery, 'ArrowLeft', 'ArrowRight');
  p.gallery.addEventListener('click', choose);
  p.gallery.addEventListener('keydown', e => {
    if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); choose(e); }
  });

  p.prompts.addEventListener('change', () => set('prompts', p.prompts.value));
  p.read.addEventListener('submit', e => {
    e.preventDefault();
    model.send({read: p.sentence.value});
  });
  p.add.addEventListener('submit', e => {
    e.preventDefault();
    model.send({add: p.name.value});
    p.name.select();
  });
  p.file.addEventListener('change', async () => {
    const file = p.file.files[0];
    if (!file) return;
    try { model.send({upload: file.name}, undefined, [await content(file)]); }
    catch { set('message', file.name + ' is too large, and no picture that can be made smaller here.'); }
    p.file.value = '';                                      // the same file may be chosen again
  });
}


// How each trait is shown, whenever it changes

function drawing(model, p) {
  const url = bytes => URL.createObjectURL(new Blob([bytes], {type: 'image/jpeg'}));
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
      draw.shown();
    },
    shown() {
      [...p.gallery.children].forEach((o, i) => o.setAttribute('aria-selected', i === model.get('shown')));
    },
    view() {
      const bytes = model.get('view');
      p.view.hidden = !bytes.byteLength;
      URL.revokeObjectURL(p.view.src);
      if (!p.view.hidden) p.view.src = url(bytes);
    },
    words() {
      const heights = model.get('weights'), best = Math.max(...heights);
      p.words.hidden = !model.get('words').length;
      p.words.replaceChildren(...model.get('words').map((w, i) =>
        el('span', {className: heights[i] === best ? 'best' : ''},
           el('i', {style: `height: ${2.5 * (heights[i] ?? 0)}em`}), w)));
    },
    weights() { draw.words(); },
    told() { p.told.textContent = p.view.alt = model.get('told'); },
    credit() { p.credit.textContent = model.get('credit'); },
    message() { p.message.textContent = model.get('message'); },
    tags() {
      const tags = model.get('tags'), scores = tags.map(t => t[1]);
      const limits = model.get('thresholds'), known = tags.map(t => limits[t[0]]).filter(t => t !== undefined);
      const low = Math.min(...scores, ...known), high = Math.max(...scores, ...known);
      const at = score => `${100 * (score - low) / (high - low || 1)}%`;
      p.classes.replaceChildren(...tags.map(([name, score, added], i) => {
        const limit = limits[name], has = limit === undefined ? '' : score >= limit ? 'present' : 'absent';
        const said = `${name}, ${score.toFixed(2)}${added ? ', added' : ''}${has && ', ' + has}`;
        const track = el('span', {className: 'track'}, el('i', {style: `width: ${at(score)}`}));
        if (has) track.append(el('b', {style: `left: ${at(limit)}`, title: `present from ${limit.toFixed(2)} on`}));
        const o = el('div', {role: 'option', className: has, tabIndex: i ? -1 : 0, 'aria-label': said},
                     el('span', {}, name + (added ? ' +' : '')),
                     track,
                     el('span', {className: 'score'}, score.toFixed(2)));
        o.dataset.name = name;
        return o;
      }));
      draw.hover();
    },
    thresholds() { draw.tags(); },
    hover() {
      for (const o of p.classes.children) {
        const here = o.dataset.name === model.get('hover');
        o.setAttribute('aria-selected', here);
        if (here && !p.classes.matches(':hover, :focus-within'))
          p.classes.scrollTop = o.offsetTop - p.classes.clientHeight / 2;
      }
    },
  };
  return draw;
}


function render({model, el: root}) {
  const p = page(root), draw = drawing(model, p);
  listen(model, p);
  for (const trait in draw) { draw[trait](); model.on('change:' + trait, draw[trait]); }
  return () => { for (const trait in draw) model.off('change:' + trait, draw[trait]); };
}
export default {render};
