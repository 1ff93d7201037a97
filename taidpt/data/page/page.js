// Tag pictures in the browser: the Explorer (widget.js), with ONNX Runtime in the place of Python.
// Beside this script lies what `export_page` writes: page.json, which names the graphs, and the graphs.
import widget from './widget.js';

const here = new URL('.', import.meta.url);
const el = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};


// Files

// Of ONNX Runtime, unless page.json says otherwise
const RUNTIME = 'https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist/';
const WASM = 'ort-wasm-simd-threaded.wasm', WASM_SIZE = 14239897;
const LOST = 'The connection was lost. What has arrived stays: try again when you are online.';

// The content of a file; `told` hears its size, and of each part that comes
async function fetched(name, told = () => {}, size = 0) {
  const parts = [];
  let answer;
  told(0, size);
  try {
    answer = await fetch(new URL(name, here));
    for (const reader = answer.body.getReader(); ;) {
      const {done, value} = await reader.read();
      if (done) break;
      parts.push(value);
      told(value.length, 0);
    }
  } catch { throw Error(LOST); }
  if (!answer.ok) throw Error(`${name} cannot be had from this site (${answer.status}).`);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

// A protobuf message: the number and content of each field that holds bytes
function* fields(bytes) {
  let at = 0;
  const number = () => {
    for (let n = 0, unit = 1; ; unit *= 128) {
      const byte = bytes[at++];
      n += (byte & 127) * unit;
      if (byte < 128) return n;
    }
  };
  while (at < bytes.length) {
    const key = number(), value = number();
    if (key % 8 === 2) yield [key >> 3, bytes.subarray(at, at += value)];
  }
}

// What Python wrote into an ONNX file: field 14 holds its entries, each a key and a value
function metadata(bytes) {
  const text = part => new TextDecoder().decode(part[1]);
  for (const [field, entry] of fields(bytes)) {
    if (field !== 14) continue;
    const [key, value] = [...fields(entry)].map(text);
    if (key === 'taidpt') return JSON.parse(value);
  }
}


// Pictures

function sheet(width, height) {
  const canvas = el('canvas', {width, height});
  return [canvas, canvas.getContext('2d', {willReadFrequently: true})];
}

// Bicubic, as Pillow: each pixel of the result is a mean over those around it, over more of them if the picture shrinks
const cubic = x => x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;

// Rows get another length, and become columns: done twice, both sides have another length
function resized({data, width, height}, to) {
  const scale = width / to, wide = Math.max(1, scale), out = new ImageData(height, to);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale, first = Math.max(0, Math.floor(centre - 2 * wide + 0.5));
    const last = Math.min(width, Math.floor(centre + 2 * wide + 0.5));
    const weights = Float64Array.from({length: last - first}, (_, k) => cubic(Math.abs(first + k + 0.5 - centre) / wide));
    const all = weights.reduce((a, b) => a + b);
    for (let y = 0; y < height; y++) for (let c = 0; c < 4; c++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) sum += weights[k] * data[4 * (y * width + first + k) + c];
      out.data[4 * (i * height + y) + c] = sum / all;
    }
  }
  return out;
}

// As Python prepares a picture: its short side resized and the centre cut out, or all of it squeezed
export function prepared(bitmap, {size: [height, width], crop}) {
  const short = Math.min(bitmap.width, bitmap.height);
  const [w, h] = crop ? [bitmap.width, bitmap.height].map(side => Math.floor(height * side / short)) : [width, height];
  const [, whole] = sheet(bitmap.width, bitmap.height), [canvas, pen] = sheet(width, height);
  whole.drawImage(bitmap, 0, 0);
  const image = resized(resized(whole.getImageData(0, 0, bitmap.width, bitmap.height), w), h);
  const cut = n => n % 4 === 1 ? (n - 1) / 2 : Math.round(n / 2);         // Python rounds a half to an even number
  pen.putImageData(image, -cut(w - width), -cut(h - height));
  return canvas;
}

// 3 × height × width numbers, less the mean and over the deviation of each colour
export function pixelsOf(canvas, {mean, std}) {
  const {data, width, height} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const n = width * height;
  return Float32Array.from({length: 3 * n}, (_, i) => {
    const c = Math.floor(i / n);
    return (data[4 * (i % n) + c] / 255 - mean[c]) / std[c];
  });
}


// CLIP's tokenizer: byte pair encoding, each merge in the order of the list

class Tokenizer {
  constructor(merges, most) {
    const plain = b => b > 32 && b < 127 || b > 160 && b !== 173, bytes = [...Array(256).keys()];
    const other = bytes.filter(b => !plain(b));
    this.letters = bytes.map(b => String.fromCharCode(plain(b) ? b : 256 + other.indexOf(b)));
    const single = [...bytes.filter(plain), ...other].map(b => this.letters[b]);
    const known = [...single, ...single.map(c => c + '</w>'), ...merges.map(pair => pair.replace(' ', ''))];
    this.ids = new Map(known.map((token, i) => [token, i]));
    this.ranks = new Map(merges.map((pair, i) => [pair, i]));
    this.start = known.length;
    this.most = most;                                       // tokens of a sentence
  }

  split(word) {
    let parts = [...new TextEncoder().encode(word)].map(b => this.letters[b]);
    parts.push(parts.pop() + '</w>');
    for (;;) {
      const ranks = parts.slice(1).map((next, i) => this.ranks.get(`${parts[i]} ${next}`) ?? Infinity);
      const best = Math.min(...ranks);
      if (best === Infinity) return parts;
      const merged = [];
      for (let i = 0; i < parts.length; i++) merged.push(ranks[i] === best ? parts[i] + parts[++i] : parts[i]);
      parts = merged;
    }
  }

  encode(text) {
    const words = text.normalize('NFC').toLowerCase().match(/'(?:s|t|re|ve|m|ll|d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu) ?? [];
    const ids = [this.start, ...words.flatMap(word => this.split(word)).map(part => this.ids.get(part)), this.start + 1];
    if (ids.length > this.most) throw Error(`“${text}” is too long: ${this.most} tokens are the most.`);
    return BigInt64Array.from({length: this.most}, (_, i) => BigInt(ids[i] ?? 0));
  }
}


// The model: graphs that Python traced, each fetched when it is first needed

export class Tagger {
  constructor(about) {                                      // page.json
    this.about = about;
    this.kept = {};                                         // promises, by name
  }

  static async open() { return new Tagger(JSON.parse(new TextDecoder().decode(await fetched('page.json')))); }

  // Once, unless it failed
  once(name, make) { return this.kept[name] ??= make().catch(e => { delete this.kept[name]; throw e; }); }

  async runtime(told) {
    if (!globalThis.WebAssembly) throw Error('This browser has no WebAssembly: take a current Firefox, Chrome, Edge or Safari.');
    const at = name => new URL(name, new URL(this.about.runtime ?? RUNTIME, here)).href;
    const binary = await this.once(WASM, () => fetched(at(WASM), told, WASM_SIZE));
    const ort = await import(at('ort.wasm.bundle.min.mjs')).catch(() => { throw Error(LOST); });
    ort.env.wasm.wasmBinary = binary;
    return ort;
  }

  graph(name, told) {
    return this.once(name, async () => {
      const [ort, bytes] = await Promise.all([
        this.once('runtime', () => this.runtime(told)), fetched(name, told, this.about.bytes[name])]);
      const session = await ort.InferenceSession.create(bytes, {logSeverityLevel: 3});
      return {session, about: metadata(bytes), tensor: (...how) => new ort.Tensor(...how)};
    });
  }

  // f and F of a picture, from its pixels
  async look(pixels, [height, width], told) {
    const {session, tensor} = await this.graph('clip-tower.onnx', told);
    return session.run({pixels: tensor('float32', pixels, [1, 3, height, width])});
  }

  // What a set of classes finds in f and F
  async score(features, name, told) {
    const {session, about} = await this.graph(this.about.classes[name], told);
    return found(await session.run(features), features, about.classes, about);
  }

  // The same of names that somebody typed
  async scoreTyped(features, names, told) {
    if (names.length < 2) throw Error('Name two classes or more, with commas between: each is compared with the others.');
    const text = await this.graph('clip-text.onnx', told), {session, tensor} = await this.graph('clip-typed.onnx', told);
    const [, most] = text.session.inputMetadata[0].shape, h = [];
    const tokenizer = await this.once('tokenizer', async () => new Tokenizer(text.about.merges, most));
    for (const name of names) {
      const {data} = await this.once(`h of ${name}`, async () => {
        const tokens = tokenizer.encode(text.about.prompt.replace('{}', name));
        return (await text.session.run({tokens: tensor('int64', tokens, [1, tokens.length])})).h;
      });
      h.push(...data);
    }
    const all = tensor('float32', Float32Array.from(h), [names.length, h.length / names.length]);
    const out = await session.run({...features, h: all});
    return found(out, features, names, {thresholds: [...out.limits.data], relative: true});
  }
}

// Scores by class, those of each branch, thresholds in this picture, and both kinds of maps, h × w
function found({scores, branches, maps, weights}, {F}, names, {thresholds, relative}) {
  const rows = (x, n) => Array.from({length: x.length / n}, (_, i) => [...x.slice(i * n, i * n + n)]);
  const [, h, w] = F.dims, grids = x => rows(x.data, h * w).map(row => rows(row, w));
  const own = [...scores.data], rise = relative ? Math.max(0, ...own.map((s, c) => s - thresholds[c])) / 5 : 0;
  return {names, scores: own, limits: thresholds.map(t => t + rise), branches: rows(branches.data, names.length),
          maps: grids(maps), weights: grids(weights)};
}


// The page

// What the widget would ask Python for
class State {
  constructor(values, send) { Object.assign(this, {values, send, heard: {}}); }
  get(name) { return this.values[name]; }
  on(event, act) { this.heard[event] = act; }
  set(values) {
    Object.assign(this.values, values);
    for (const name in values) this.heard[`change:${name}`]?.();
  }
}

const OWN = 'your own', MB = bytes => `${Math.ceil(bytes / 1e6)} MB`;

function choice(label, options) {
  const select = el('select', {}, ...options.map(([value, words]) => el('option', {value}, words)));
  return [el('label', {}, `${label} `, select), select];
}

async function start(root) {
  const tagger = await Tagger.open(), {classes, bytes, photos = [], first} = tagger.about;
  const files = Object.values(classes), sets = Object.keys(classes).map(name => [name, name]);
  if ('clip-text.onnx' in bytes) sets.push([OWN, `${OWN} (${MB(bytes['clip-text.onnx'] + bytes['clip-typed.onnx'])} more)`]);
  const [setLabel, set] = choice('Classes', sets);
  const [branchLabel, branch] = choice('Scores', [['', 'mean of both branches'], [0, 'global branch'], [1, 'local branch']]);
  const [kindLabel, kind] = choice('Maps', [['maps', 'cosines P'], ['weights', 'weights in the local score']]);
  const names = el('input', {type: 'text', value: 'bear, kitchen, tennis court, beach', size: 40, autocapitalize: 'off'});
  const find = el('button', {type: 'button'}, 'Find them');
  const own = el('div', {className: 'own', hidden: !('clip-text.onnx' in bytes)}, el('label', {}, 'Your own names ', names), find);
  const bar = el('progress', {hidden: true, ariaLabel: 'Fetched'}), message = el('p', {role: 'status'}), look = el('div');
  root.replaceChildren(el('div', {className: 'choices'}, own, setLabel, branchLabel, kindLabel), message, bar, look);

  let features, result;                                     // of the picture that is shown
  const gallery = photos.map(([alt, src]) => [alt, new URL(src, here).href]);
  const state = new State({gallery, item: {shown: -1, words: []}, tags: []}, received);
  widget.render({model: state, el: look});

  const say = (words, wrong = false) => {
    message.textContent = words;
    message.setAttribute('role', wrong ? 'alert' : 'status');
  };

  // A bar while files come, until it ends: after an error, others may still be on their way
  function counter() {
    let done = 0, all = 0, ended = false;
    const told = (more, size) => {
      if (ended) return;
      Object.assign(bar, {hidden: false, max: all += size, value: done += more});
      say(`Fetching the model: ${(done / 1e6).toFixed(1)} of ${MB(all)}`);
    };
    const end = () => {
      ended = true;
      bar.hidden = true;
    };
    return [told, end];
  }

  // One thing after the other; an error becomes a message
  let queue = Promise.resolve();
  const asked = act => queue = queue.then(async () => {
    say('Working …');
    root.setAttribute('aria-busy', true);
    const [told, end] = counter();
    try { await act(told); say(''); }
    catch (e) { say(e.message, true); }
    end();
    root.setAttribute('aria-busy', false);
  });

  function draw() {
    if (!result) return;
    const scores = branch.value ? result.branches[branch.value] : result.scores;
    const limits = branch.value ? scores.map(() => null) : result.limits;
    for (const option of branch.options) option.hidden = option.value >= result.branches.length;
    const tags = result.names.map((name, c) => [name, scores[c], false, limits[c], result[kind.value][c]]);
    state.set({tags});
  }

  async function score(told) {
    if (!features && first) return showPhoto(first.photo, told);
    if (!features) return;
    const typed = names.value.split(',').map(name => name.trim().replace(/\s+/g, ' ')).filter(Boolean);
    result = set.value === OWN ? await tagger.scoreTyped(features, [...new Set(typed)], told)
      : await tagger.score(features, set.value, told);
    draw();
  }

  async function show(bitmap, item, told) {
    const [{about: {pixels}}] = await Promise.all([...files, 'clip-tower.onnx'].map(name => tagger.graph(name, told)));
    const view = prepared(bitmap, pixels);
    features = await tagger.look(pixelsOf(view, pixels), pixels.size, told);
    state.set({item: {words: [], photo: view.toDataURL('image/jpeg', .88), ...item}});
    await score(told);
  }

  const open = (blob, name) => asked(async told => {
    let bitmap;
    try { bitmap = await createImageBitmap(blob); }
    catch { throw Error(`${name} is not an image that this browser can read: choose a JPEG or PNG.`); }
    await show(bitmap, {shown: -1, about: name}, told);
  });

  async function showPhoto(shown, told) {
    const [about, , credit] = photos[shown], image = look.querySelectorAll('.gallery img')[shown];
    await image.decode();
    await show(await createImageBitmap(image), {shown, about, credit}, told);
  }

  // From the widget: a photo of the strip, or a file
  function received(message, _, buffers) {
    if (buffers) return open(new Blob(buffers), message.upload);
    asked(told => showPhoto(message.show, told));
  }

  const given = ([file]) => { if (file) open(file, file.name || 'the picture'); };
  root.addEventListener('dragover', e => e.preventDefault());
  root.addEventListener('drop', e => { e.preventDefault(); given(e.dataTransfer.files); });
  document.addEventListener('paste', e => given(e.clipboardData.files));
  const findOwn = () => { set.value = OWN; asked(score); };
  set.addEventListener('change', () => asked(score));
  find.addEventListener('click', findOwn);
  names.addEventListener('keydown', e => { if (e.key === 'Enter') findOwn(); });
  for (const control of [branch, kind]) control.addEventListener('change', draw);
  const size = ['clip-tower.onnx', ...files].reduce((sum, name) => sum + bytes[name], WASM_SIZE);
  say(`Choose, drop, paste or photograph a picture. The first one fetches the model (${MB(size)}). No picture leaves this machine.`);
  if (first) {                                              // tagged before the model is here
    const [about, , credit] = photos[first.photo];
    result = first.result;
    state.set({item: {words: [], shown: first.photo, photo: new URL(first.view, here).href, about, credit}});
    draw();
  }
}

for (const root of document.querySelectorAll('.taidpt-page'))
  start(root).catch(e => root.replaceChildren(el('p', {role: 'alert'}, e.message)));
