// Figures to touch. A notebook's cell writes `<div class="taidpt-touch" data-kind data-figure>` with a photo,
// words and a credit in it (`nbs/touch.py`); here the words make room for things that move.
(() => {
'use strict';


// Arithmetic: Eq. 6 and Eq. 7 for one picture or sentence

const sum = xs => xs.reduce((a, b) => a + b, 0);
const best = xs => xs.indexOf(Math.max(...xs));
const descending = xs => xs.map((_, i) => i).sort((a, b) => xs[b] - xs[a]);

function pool(P, tau) {
  const m = Math.max(...P), e = P.map(x => Math.exp((x - m) / tau)), all = sum(e);
  const weights = e.map(x => x / all);
  return {weights, score: sum(weights.map((w, j) => w * P[j]))};
}

// Every pair of a positive i and a negative j that is less than `margin` below it, worst first
function active(scores, labels, margin) {
  const found = [];
  scores.forEach((p, i) => labels[i] && scores.forEach((q, j) => {
    if (!labels[j] && margin - p + q > 0) found.push({i, j, short: margin - p + q});
  }));
  return found.sort((a, b) => b.short - a.short);
}


// Small parts

let made = 0;
const fixed = (x, digits = 2) => x.toFixed(digits).replace(/^-(?=[0.]*$)/, '');      // no -0.00
const share = w => `${fixed(100 * w, 1)} %`;

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) k in node ? node[k] = v : node.setAttribute(k, v);
  node.append(...children);
  return node;
}

function draw(tag, props = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(props)) node.setAttribute(k, v);
  node.append(...children);
  return node;
}

const button = (props, ...children) => el('button', {type: 'button', ...props}, ...children);
const part = (className, ...children) => el('div', {className}, ...children);
const group = (name, className, ...children) => el('div', {role: 'group', 'aria-label': name, className}, ...children);
const status = () => el('p', {role: 'status', className: 'told'});

// A slider over a list of values, with what it stands at, and a button that takes it back
function slider(name, values, start, show, moved) {
  const id = `touch-${++made}`, at = values.indexOf(start);
  const input = el('input', {type: 'range', id, min: 0, max: values.length - 1, step: 1, value: at});
  const output = el('output', {htmlFor: id, 'aria-live': 'off'});         // the slider itself says it
  const back = button({className: 'back'}, `back to ${show(start)}`);
  const say = () => {
    output.textContent = show(values[input.value]);
    input.setAttribute('aria-valuetext', output.textContent);
    back.disabled = Number(input.value) === at;
  };
  input.addEventListener('input', () => { say(); moved(); });
  back.addEventListener('click', () => { input.value = at; say(); moved(); input.focus(); });
  say();
  const node = part('slider', el('label', {htmlFor: id}, name), input, output, back);
  return {node, value: () => values[input.value], index: () => Number(input.value)};
}

// Buttons of which one is a stop of the Tab key; arrow keys, Home and End move on. `across`: how many stand in a row.
function roving(box, across) {
  const all = () => [...box.querySelectorAll('button')];
  const stop = here => all().forEach(b => { b.tabIndex = b === here ? 0 : -1; });
  box.addEventListener('keydown', e => {
    const list = all(), i = list.indexOf(document.activeElement), row = across || 1;
    const keys = {ArrowLeft: i - 1, ArrowRight: i + 1, ArrowUp: i - row, ArrowDown: i + row, Home: 0, End: list.length - 1};
    const to = keys[e.key];
    if (i < 0 || to === undefined) return;
    e.preventDefault();
    const edge = across > 1 && (e.key === 'ArrowLeft' && i % row === 0 || e.key === 'ArrowRight' && to % row === 0);
    if (list[to] && !edge) list[to].focus();
  });
  box.addEventListener('focusin', e => stop(e.target));
  stop(all()[0]);
  return stop;
}

// Tell which button is pointed at: under the pointer, else in focus, else none (null)
function pointed(box, tell) {
  let over = null, focus = null;
  const of = e => e.target.closest('button')?.dataset.i;
  const say = () => tell(over ?? focus);
  box.addEventListener('mouseover', e => { if (of(e) !== undefined) { over = Number(of(e)); say(); } });
  box.addEventListener('mouseleave', () => { over = null; say(); });
  box.addEventListener('click', e => e.target.closest('button')?.focus());         // a tap, too
  box.addEventListener('focusin', e => { focus = Number(of(e)); say(); });
  box.addEventListener('focusout', e => { if (!box.contains(e.relatedTarget)) { focus = null; say(); } });
}

// Tell which button was chosen: it stays so until another is. While the pointer is over one, that one counts.
function chosen(box, first, tell) {
  let kept = first;
  const keep = e => {
    const b = e.target.closest('button');
    if (b) tell(kept = Number(b.dataset.i));
  };
  box.addEventListener('click', e => { keep(e); e.target.closest('button')?.focus(); });
  box.addEventListener('focusin', keep);
  box.addEventListener('mouseover', e => {
    const b = e.target.closest('button');
    if (b) tell(Number(b.dataset.i));
  });
  box.addEventListener('mouseleave', () => tell(kept));
}

// The photo under a grid of places. `show(weights, say)`: bright where the weight is near 1, with a ring at the best.
function places(photo, [rows, columns], name) {
  const cells = Array.from({length: rows * columns}, (_, i) => button({className: 'place', 'data-i': i}));
  const grid = group(name, 'grid', ...cells);
  grid.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
  roving(grid, columns);
  const where = j => `row ${Math.floor(j / columns) + 1}, column ${j % columns + 1}`;
  return {node: part('photo', photo, grid), grid, where, show(weights, say, mark = () => '') {
    const top = best(weights);
    cells.forEach((c, j) => {
      c.style.setProperty('--dark', fixed(0.75 * (1 - weights[j]), 3));
      c.classList.toggle('best', j === top);
      c.setAttribute('aria-label', `${where(j)}: ${say(j)}`);
      c.textContent = mark(j);
    });
  }};
}

// The tokens of a sentence, each under a bar
function tokens(words, name) {
  const all = words.map((w, i) => button({className: 'token', 'data-i': i}, el('i'), w));
  const row = group(name, 'tokens', ...all);
  roving(row);
  return {node: row, show(weights, say) {
    const top = best(weights);
    all.forEach((t, j) => {
      t.firstChild.style.height = `${fixed(2 * weights[j], 2)}em`;
      t.classList.toggle('best', j === top);
      t.setAttribute('aria-label', `${words[j]}: ${say(j)}`);
    });
  }};
}

// Rows to choose from, each with a number for every column, and a bar up to `high` in all columns but the `plain` one.
// `values`: a list for each column, or null for a column that stays empty. The best come first, if `by` says by what.
function rows(names, columns, high, show, plain) {
  const all = names.map((n, i) => button({className: 'row', 'data-i': i}, el('span', {}, n),
    ...columns.map(c => el('span', {className: c === plain ? 'plain' : 'bar'}, el('i'), el('b')))));
  const box = group('Classes', 'list', ...all);
  const head = el('div', {className: 'row head', 'aria-hidden': 'true'}, el('span', {}, 'class'),
    ...columns.map(c => el('span', {className: c === plain ? 'plain' : ''}, c)));
  const stop = roving(box);
  let order = '';
  return {node: part('rows', head, box), box, show(values, selected, by) {
    all.forEach((row, i) => {
      row.setAttribute('aria-pressed', i === selected);
      values.forEach((column, k) => {
        const [bar, number] = row.children[k + 1].children;
        bar.style.width = `${column ? Math.min(100, Math.max(0, 100 * column[i] / high)) : 0}%`;
        number.textContent = column ? show(column[i], k) : '';
      });
    });
    if (box.contains(document.activeElement)) return;                     // nothing moves away from under a finger
    const sorted = by ? descending(by) : names.map((_, i) => i);
    if (String(sorted) !== order) { order = String(sorted); box.append(...sorted.map(i => all[i])); }
    stop(all[selected]);
  }};
}

// A curve with a dot where a slider stands; dashed lines for levels, ticks for values of x that matter
function curve(xs, ticks, place = x => x) {
  const W = 340, H = 170, left = 40, right = 12, top = 14, bottom = 30, foot = H - bottom;
  const [x0, x1] = [place(xs[0]), place(xs[xs.length - 1])];
  const x = v => left + (W - left - right) * (place(v) - x0) / (x1 - x0);
  const svg = draw('svg', {viewBox: `0 0 ${W} ${H}`, 'aria-hidden': 'true', class: 'curve'});
  const text = (tx, ty, words, anchor = 'middle') => draw('text', {x: tx, y: ty, 'text-anchor': anchor}, words);
  const line = (name, d) => draw('path', {class: name, d});
  return {node: svg, show(ys, at, levels, xlabel, digits) {
    const seen = [...ys, ...levels.map(l => l[0])], low = Math.min(...seen), high = Math.max(...seen);
    const y = v => top + (foot - top) * (high - v) / (high - low || 1);
    svg.replaceChildren(
      line('axis', `M${left} ${top}V${foot}H${W - right}`),
      ...ticks.flatMap(([v, words]) => [line('axis', `M${x(v)} ${foot}v4`), text(x(v), foot + 14, words)]),
      text((left + W - right) / 2, H - 3, xlabel),
      ...[high, low].map(v => text(left - 5, y(v) + 4, fixed(v, digits), 'end')),
      ...levels.flatMap(([v, words, anchor]) => [
        line('level', `M${left} ${y(v)}H${W - right}`),
        text(anchor === 'end' ? W - right : left + 4, y(v) + (v === low ? -4 : 11), words, anchor)]),
      draw('polyline', {points: xs.map((v, i) => `${x(v)},${y(ys[i])}`).join(' ')}),
      line('here', `M${x(xs[at])} ${top}V${foot}`),
      draw('circle', {cx: x(xs[at]), cy: y(ys[at]), r: 5}));
  }};
}


// The four kinds of figures. Each gets its data, the photo if there is one, and where its parts go.

function stretched(xs) {
  const low = Math.min(...xs), high = Math.max(...xs);
  return xs.map(x => (x - low) / (high - low || 1));
}

const kinds = {

  // Point at a class: where it looks. Point at a place or a token: its classes.
  places(d, photo) {
    const view = places(photo, d.grid, 'Places of the photo'), words = tokens(d.words, 'Tokens of the sentence');
    const told = status();
    const whole = [d.photo.map(P => pool(P, d.tau[0]).score), d.sentence.map(P => pool(P, d.tau[1]).score)];
    const list = rows(d.names, ['photo', 'sentence'], 1, x => fixed(x));
    let c = descending(whole[0])[0], place = null, token = null;
    const three = at => descending(at).slice(0, 3).map(i => `${d.names[i]} ${fixed(at[i])}`).join(', ');
    const show = () => {
      const [P, Q] = [d.photo[c], d.sentence[c]], name = d.names[c];
      view.show(stretched(P), j => `${name} ${fixed(P[j])}`);
      words.show(Q.map(q => Math.max(0, q)), j => `${name} ${fixed(Q[j])}`);
      const at = place !== null ? d.photo.map(P => P[place])
        : token !== null ? d.sentence.map(Q => Q[token]) : null;
      const values = place !== null ? [at, null] : token !== null ? [null, at] : whole;
      list.show(values, c, at ?? whole[0]);
      told.textContent = place !== null ? `At ${view.where(place)} of the photo: ${three(at)}.`
        : token !== null ? `At “${d.words[token]}”: ${three(at)}.`
        : `${name}: in the photo best at ${view.where(best(P))} (${fixed(Math.max(...P))}), `
          + `local score ${fixed(whole[0][c], 3)}; in the sentence best at “${d.words[best(Q)]}” `
          + `(${fixed(Math.max(...Q))}), local score ${fixed(whole[1][c], 3)}.`;
    };
    chosen(list.box, c, i => { c = i; show(); });
    pointed(view.grid, j => { place = j; show(); });
    pointed(words.node, j => { token = j; show(); });
    show();
    return [told, part('two', part('one', view.node, words.node), part('one', list.node))];
  },

  // Slide the temperature of Eq. 6
  pooling(d, photo) {
    const view = places(photo, d.grid, 'Places of the photo'), told = status();
    const graph = curve(d.taus, [d.taus[0], d.tau, d.taus.at(-1)].map(t => [t, t]), Math.log);
    const all = d.maps.map(P => d.taus.map(tau => pool(P, tau).score));
    const list = rows(d.names, ['local score'], Math.max(...all.flat()), x => fixed(x, 3));
    let c = descending(d.maps.map(P => pool(P, d.tau).score))[0], place = null;
    const tau = slider('Temperature', d.taus, d.tau, String, () => show());
    const show = () => {
      const P = d.maps[c], {weights, score} = pool(P, tau.value()), j = place ?? best(weights);
      const mean = sum(P) / P.length, most = Math.max(...P);
      view.show(weights.map(w => w / Math.max(...weights)),
                k => `weight ${share(weights[k])}, cosine ${fixed(P[k])}`,
                k => weights[k] >= 0.01 ? Math.round(100 * weights[k]) : '');
      const scores = all.map(s => s[tau.index()]);
      list.show([scores], c, scores);
      const levels = [[most, 'the best place', 'end'], [mean, 'mean of the places', 'start']];
      graph.show(all[c], tau.index(), levels, 'temperature', 2);
      told.textContent = `${d.names[c]} at temperature ${tau.value()}: local score ${fixed(score, 3)}, `
        + `between the mean ${fixed(mean, 3)} and the best place’s ${fixed(most, 3)}. `
        + `${place === null ? 'The best place' : 'This place'}, ${view.where(j)}, scores ${fixed(P[j])} `
        + `and has ${share(weights[j])} of the weight.`;
    };
    chosen(list.box, c, i => { c = i; show(); });
    pointed(view.grid, j => { place = j; show(); });
    show();
    return [tau.node, told, part('two', part('one', view.node, graph.node), part('one', list.node))];
  },

  // Slide the margin and the scale of Eq. 7
  margin(d) {
    const told = status(), tracks = part('tracks'), list = el('ol', {className: 'pairs'});
    const pairs = part('one', el('p', {className: 'note'}, 'active pair, and by how much it falls short'), list);
    const choice = group('Sentence', 'choice', ...d.sentences.map((s, i) => button({'data-i': i}, s)));
    const margin = slider('Margin', d.margins, d.margin, x => fixed(x), () => show());
    const scale = slider('Scale', d.scales, d.scale, String, () => show());
    const all = d.scores.flat(), low = Math.min(...all) - 0.03, high = Math.max(...all) + 0.03, W = 340;
    const x = v => W * (Math.min(high, Math.max(low, v)) - low) / (high - low);
    let n = 0;

    // One positive: its score, the zone that negatives should keep out of, and all negatives, best on top
    const track = (i, scores, labels, edge) => {
      const others = descending(scores).filter(j => !labels[j]), H = 4 * others.length + 22, own = x(scores[i]);
      const mark = (j, y) => scores[j] > edge
        ? draw('path', {class: 'in', d: `M${x(scores[j])} ${y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5z`})
        : draw('circle', {class: 'out', cx: x(scores[j]), cy: y, r: 2.5});
      const svg = draw('svg', {viewBox: `0 0 ${W} ${H}`, 'aria-hidden': 'true'},
        draw('rect', {class: 'zone', x: x(edge), y: 14, width: W - x(edge), height: H - 14}));
      others.forEach((j, k) => {
        const y = 20 + 4 * k, it = mark(j, y);
        it.append(draw('title', {}, `${d.names[j]} ${fixed(scores[j])}`));
        if (scores[j] > edge) svg.append(draw('path', {class: 'short', d: `M${x(edge)} ${y}H${x(scores[j])}`}));
        svg.append(it);
      });
      svg.append(draw('path', {class: 'positive', d: `M${own} 14V${H}`}),
        draw('text', {x: own, y: 10, 'text-anchor': own > W / 2 ? 'end' : 'start'}, `${d.names[i]} ${fixed(scores[i])}`));
      return svg;
    };

    const show = () => {
      const scores = d.scores[n], labels = d.labels[n], k = scale.value(), m = margin.value();
      const found = active(scores.map(s => k * s), labels, m), loss = sum(found.map(p => p.short));
      const positives = d.names.map((_, i) => i).filter(i => labels[i]);
      const count = positives.length * (d.names.length - positives.length);
      [...choice.children].forEach((b, i) => b.setAttribute('aria-pressed', i === n));
      tracks.replaceChildren(...positives.map(i => track(i, scores, labels, scores[i] - m / k)));
      const most = found.length ? found[0].short : 1;
      list.replaceChildren(...found.slice(0, 12).map(({i, j, short}) => {
        const bar = el('i');
        bar.style.width = `${100 * short / most}%`;
        return el('li', {}, el('span', {}, `${d.names[i]}, ${d.names[j]}`),
                  el('span', {className: 'bar'}, bar, el('b', {}, fixed(short))));
      }), ...(found.length > 12 ? [el('li', {}, `and ${found.length - 12} more`)] : []));
      told.textContent = `Active pairs: ${found.length} of ${count}. Loss: ${fixed(loss, 3)}. `
        + `A margin of ${fixed(m)} at scale ${k} asks for cosines ${fixed(m / k, 3)} apart.`;
    };
    roving(choice);
    choice.addEventListener('click', e => {
      const b = e.target.closest('button');
      if (b) { n = Number(b.dataset.i); show(); }
    });
    show();
    return [choice, margin.node, scale.node, told, part('two', part('one', tracks), pairs)];
  },

  // Slide the weight of the second member of an ensemble
  weight(d) {
    const names = ['all classes', ...d.names], told = status(), ticks = [0, 0.25, 0.5, 0.75, 1].map(w => [w, w]);
    const all = [d.map, ...d.names.map((_, c) => d.ap.map(row => row[c]))], last = d.weights.length - 1;
    const graph = curve(d.weights, ticks);
    const list = rows(names, ['AP, %', 'gain'], 100, (x, k) => (k && x > 0 ? '+' : '') + fixed(x, 1), 'gain');
    const [one, two] = d.members.map(m => `${m} alone`);
    const weight = slider(`Weight of ${d.members[1]}`, d.weights, d.start, x => fixed(x), () => show());
    let c = 0;
    const show = () => {
      const k = weight.index(), now = all.map(s => s[k]), gains = all.map(s => s[k] - Math.max(s[0], s[last]));
      const ends = [all[c][0], all[c][last]], better = gains.slice(1).filter(g => g > 0).length;
      list.show([now, gains], c);
      graph.show(all[c], k, [[ends[0], one, 'end'], [ends[1], two, 'start']], `weight of ${d.members[1]}`, 1);
      told.textContent = `${c ? `AP of ${names[c]}` : 'mAP'} at weight ${fixed(weight.value())}: ${fixed(now[c])}; `
        + `${one} ${fixed(ends[0])}, ${two} ${fixed(ends[1])}. `
        + `Together they are better than either alone for ${better} of ${d.names.length} classes.`;
    };
    chosen(list.box, c, i => { c = i; show(); });
    show();
    return [weight.node, told, part('two', part('one', graph.node), part('one', list.node))];
  },
};

for (const root of document.querySelectorAll('.taidpt-touch')) {
  const photo = root.querySelector('img'), credit = root.querySelector('.credit');
  const parts = kinds[root.dataset.kind](JSON.parse(root.dataset.figure), photo);
  root.replaceChildren(...parts, ...(credit ? [credit] : []));
  root.classList.add('moves');
}
})();
