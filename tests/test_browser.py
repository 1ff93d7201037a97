"""The site and the Explorer as a person meets them: in a browser, on a desk and on a phone.

Screenshots of the Explorer and of what fails stay in tests/artifacts.
"""
import base64, http.server, io, json, operator, os, re, shutil, signal, socket, subprocess
import threading, time
from functools import partial

import numpy as np
import pytest
import torch
from conftest import QUIET, ROOT, tool
from PIL import Image

pytest.importorskip('selenium')
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException, StaleElementReferenceException, TimeoutException)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from taidpt.all import (
    VOC2007, ClassSet, TaIDPT, ZeroShotCLIP, bundled_photos, load_clip, local_scores, ranking_loss)
from taidpt.apps.onnx import export_page
from taidpt.apps.report import evaluate_model
from taidpt.apps.tagging import open_model
from taidpt.clip import reference_photos
from taidpt.files import DATA

NAMES = 'chromium', 'chromium-browser', 'google-chrome'
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
DRIVER = shutil.which('chromedriver')
if not (CHROMIUM and DRIVER):
    pytest.skip(
        'there is no Chromium with its chromedriver here: `make test-docs` installs them',
        allow_module_level=True,
    )
ARTIFACTS = ROOT/'tests/artifacts'
DESK, PHONE = (1280, 900), (390, 844)


class Browser(webdriver.Chrome):
    "Headless Chromium that keeps what went wrong on the pages it has been to"
    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        # sliding smoothly, an element's image would wait ten seconds for the end
        for flag in (
            '--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu',
            '--hide-scrollbars', '--force-color-profile=srgb', '--disable-smooth-scrolling',
        ):
            options.add_argument(flag)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        super().__init__(options, Service(DRIVER))
        self.set_page_load_timeout(300)
        self.set_script_timeout(300)
        self.width(DESK)

    def width(self, size):
        "Be as wide and high as a desk's screen or a phone's"
        self.execute_cdp_cmd(
            'Emulation.setDeviceMetricsOverride',
            dict(width=size[0], height=size[1], deviceScaleFactor=1, mobile=size == PHONE),
        )

    def theme(self, name):
        "Prefer 'light' or 'dark', as a person's system does"
        self.execute_cdp_cmd(
            'Emulation.setEmulatedMedia',
            dict(features=[dict(name='prefers-color-scheme', value=name)]),
        )

    def problems(self) -> list[str]:
        "Errors on the console since the last call, missing files among them"
        return [e['message'] for e in self.get_log('browser') if e['level'] == 'SEVERE']

    def find(self, css): return self.find_element(By.CSS_SELECTOR, css)

    def all(self, css): return self.find_elements(By.CSS_SELECTOR, css)

    def until(self, what, failure, seconds=60):
        "Wait until `what` is true; fail with an image of the page if it never is"
        not_yet = NoSuchElementException, StaleElementReferenceException
        try: return WebDriverWait(self, seconds, 0.1, not_yet).until(lambda _: what())
        except TimeoutException:
            self.shoot('failed')
            shown = self.find('body').text[:2000]
            raise AssertionError(f'{failure}; on the page: {shown}') from None

    def shoot(self, name, element=None):
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        shoot = self.save_screenshot if element is None else element.screenshot
        shoot(str(ARTIFACTS/f'{name}.png'))


@pytest.fixture(scope='module')
def chromium():
    with Browser() as b: yield b


@pytest.fixture
def browser(chromium):
    "The same browser for all tests, as wide and as light as at first"
    chromium.width(DESK)
    chromium.theme('light')
    chromium.get('about:blank')
    chromium.problems()
    return chromium


# The site

@pytest.fixture(scope='module')
def served(site):
    "The address of the built site"
    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'  # one connection for many files, and each file once
        def log_message(self, *args): pass
        def end_headers(self):
            self.send_header('Cache-Control', 'max-age=3600')
            super().end_headers()

    handler = partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


CHECKS = '''
const all = css => [...document.querySelectorAll(css)];
const text = e => e.textContent.trim().slice(0, 80);
const box = e => e.getBoundingClientRect();
const width = document.documentElement.clientWidth;
const scrolls = e => e.scrollWidth - e.clientWidth > 1;
const shown = e => !e.closest('details:not([open])');
const flat = e => !(box(e).width && box(e).height);
const loaded = e => e.complete && e.naturalWidth;
const lines = e => e.textContent.trimEnd().split('\\n').length;
const wrapped = e => box(e).height > 25 + lines(e)*parseFloat(getComputedStyle(e).lineHeight);
const another = (e, before) => before?.closest('.cell_output')?.contains(e);
const cut = e => !e.closest('.math-wrapper, .table-wrapper') && box(e).right > width;
const sticks = e => getComputedStyle(e).position === 'sticky';
const levels = all('article :is(h1, h2, h3, h4, h5, h6)').map(h => +h.tagName[1]);
const asked = performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:'));
const ours = e => location.protocol === 'file:' || e.name.startsWith(location.origin);
const math = all('article math').filter(shown), code = all('article pre').filter(shown);
const cells = all('.cell_input pre').filter(shown), desk = width >= 1000;
return {
    flat: math.filter(flat).length,
    images: all('img').filter(e => shown(e) && !loaded(e)).map(e => e.src.slice(0, 200)),
    alt: all('article img').filter((e, i, list) => !e.alt.trim() && !another(e, list[i - 1]))
        .map(e => e.src.slice(-80)),
    wide: all('html, .content').filter(scrolls).length,
    equation: math.filter(cut).map(text),
    code: code.filter(e => scrolls(e) && (desk || !e.closest('.cell_input'))).map(text),
    wrapped: desk ? cells.filter(wrapped).map(text) : 0,
    loose: desk ? 0 : all('article td:first-child').filter(e => !sticks(e)).length,
    headings: levels.filter((n, i) => n > (levels[i - 1] ?? 0) + 1 || n === 1 && i),
    elsewhere: asked.filter(e => !ours(e)).map(e => e.name),
};
'''

def all_loaded(browser):
    "Wait for the images of a page"
    loaded = lambda: not browser.execute_script(CHECKS)['images']
    browser.until(loaded, 'the images do not load')


UNFOLD = "document.querySelectorAll('article details').forEach(e => { e.open = true; })"

def test_pages(site, served, browser):
    """On a desk and on a phone nothing is missing, cut off or without words; on a desk 100 columns
    of code fit; first columns stay in sight"""
    patterns = '[01il]*.html', 'tutorials/*.html', 'paper/report.html', 'reference/scores.html'
    pages = [page for pattern in patterns for page in sorted(site.glob(pattern))]
    wrong = []
    for page in pages:
        browser.get(f'{served}/{page.relative_to(site).as_posix()}')
        browser.execute_script(UNFOLD)
        for size in (DESK, PHONE):
            browser.width(size)
            checks = browser.execute_script(CHECKS)
            wrong += [f'{page.name}, {size}: {what} {v}' for what, v in checks.items() if v]
    assert not [*wrong, *browser.problems()], '\n'.join(wrong)


def test_readable_by_all(served, browser):
    """axe finds nothing on a page of each kind: contrast in both themes, names of links and
    buttons, order of headings, languages"""
    script = pytest.importorskip('axe_core_python.base').AXE_SCRIPT
    every = dict(
        runOnly=['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],
        resultTypes=['violations'],
        # of Furo's frame
        rules={'region': dict(enabled=False), 'landmark-unique': dict(enabled=False)},
    )
    contrast = dict(runOnly=['color-contrast'], resultTypes=['violations'])
    wrong = []
    def look(page, theme, options):
        browser.theme(theme)
        violations = browser.execute_async_script(
            'axe.run(document, arguments[0]).then(r => arguments[1](r.violations))', options
        )
        wrong.extend(
            f'{page}, {theme}: {fault["id"]}: {node["html"][:150]} {node["failureSummary"][:300]}'
            for fault in violations
            for node in fault['nodes'][:3]
        )

    for page in ('index.html', '03_prompts.html', 'reference/scores.html'):
        browser.get(f'{served}/{page}')
        browser.execute_script(script)
        look(page, 'light', every)
        look(page, 'dark', contrast)
    assert not wrong, '\n'.join(wrong)


FOCUS = '''
const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
const before = window.last;
window.last = e;
return {what: e === document.body ? '' : `${e.tagName} ${e.textContent.trim().slice(0, 40)}`,
        after: !before || !!(before.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING),
        seen: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 && +s.opacity > 0
            && b.width > 0 && b.height > 0};
'''

def test_keyboard(served, browser):
    "Tab goes through the front page in the order of reading, and one sees where one is"
    browser.get(f'{served}/index.html')
    for _ in range(40):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        step = browser.execute_script(FOCUS)
        assert step['what'] and step['after'] and step['seen'], step


FOUND = '''
const links = [...document.querySelectorAll('#search-results li > a')];
return links.map(a => [a.textContent, a.pathname]);
'''

def searched(browser, served, words: str) -> list[tuple[str, str]]:
    "Titles and paths of the pages that the site's search finds; it shows an excerpt of each"
    browser.get(f'{served}/search.html?q={words}')
    ended = lambda: 'finished' in browser.find('#search-results').text
    browser.until(ended, 'the search does not end')
    bare = lambda: browser.all('#search-results li:not(:has(p.context))')
    browser.until(lambda: not bare(), 'a hit has no excerpt')
    assert not browser.problems()
    return [tuple(hit) for hit in browser.execute_script(FOUND)]


@pytest.mark.parametrize('words, page, place', [
    ('own classes', 'tutorials/your_own_classes', 'A tagger for your own classes'),
    ('modality gap', 'paper/what_matters', 'Which loss?'),
    ('install offline', 'security', 'Without a network'),
    ('learning rate', '06_training', 'The learning rate'),
    ('GPU', 'tutorials/serve', 'On a GPU')])
def test_what_people_search_for(served, browser, words, page, place):
    """The first hit leads to the heading that answers, also where the page has other words for it;
    the reference comes last"""
    paths = [path for _, path in searched(browser, served, words)]
    assert paths[0] == f'/{page}.html'
    reference = ['/reference/' in path for path in paths]
    assert reference == sorted(reference)
    browser.find('#search-results li > a').click()
    browser.until(lambda: f'{page}.html' in browser.current_url, 'the first hit leads elsewhere')
    section = browser.execute_script('return document.querySelector(location.hash || "article")')
    assert section.text.startswith(place)


def shot(element):
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert('L')).astype(int)


def in_theme(browser, theme, system):
    """The page that is open as one finds it anew with this choice on its switch, under a system
    that prefers another or the same"""
    browser.theme(system)
    browser.execute_script('localStorage.setItem("theme", arguments[0])', theme)
    browser.refresh()
    all_loaded(browser)


@pytest.mark.parametrize('size', [DESK, PHONE])
def test_front_page(served, browser, size):
    """A photo and its tags are on the first screen; the idea is in the layout for its width, and
    dark where the page is dark"""
    browser.width(size)
    browser.get(f'{served}/index.html')
    for theme, other in (('light', 'dark'), ('dark', 'light')):
        in_theme(browser, theme, other)
        idea = browser.find('article picture img')
        photo = browser.find('article img[src*="try"]')
        dark = theme == 'dark'
        browser.until(lambda: (shot(idea).mean() < 128) == dark, f'the idea is not {theme}')
        drawing = 'idea.svg' if size == DESK else 'idea-tall.svg'
        assert idea.get_property('currentSrc').endswith(f'/{drawing}')
        assert photo.rect['y'] + photo.rect['height'] <= size[1]


def test_figures(served, browser):
    "A figure has the page's ground, and ink that stands out from it"
    browser.get(f'{served}/05_losses.html')
    def look():
        "Its ground, and whether ink stands out from it; None where nothing is painted yet"
        figures = browser.all('.cell_output img[src*=".svg"]')
        pixels = shot(next(one for one in figures if one.is_displayed()))
        ground = pixels[2:6, 2:6].mean()
        if pixels.std() < 5: return None
        return 'light' if ground > 127 else 'dark', np.abs(pixels - ground).max() > 150

    for theme, system, wanted in (
        ('light', 'dark', 'light'), ('dark', 'light', 'dark'), ('auto', 'dark', 'dark')):
        in_theme(browser, theme, system)
        browser.until(
            lambda: look() == (wanted, True),
            f'{theme} page, {system} system: the chart has no {wanted} ground',
        )

# Figures to touch

def test_figures_to_touch(served, browser):
    "What they work out is what the package computes; a pointer moves them"
    def shown(kind): return browser.find(f'.taidpt-touch[data-kind={kind}] .told').text

    def slide(kind, *places):
        for slider, place in zip(browser.all(f'.taidpt-touch[data-kind={kind}] input'), places):
            browser.execute_script('arguments[0].value = arguments[1]; '
                                   'arguments[0].dispatchEvent(new Event("input"))', slider, place)

    def number(kind, after): return float(re.search(rf'{after} ?(-?[\d.]*\d)', shown(kind))[1])

    browser.get(f'{served}/tutorials/touch.html')
    browser.until(lambda: browser.all('.taidpt-touch.moves'), 'no figure moves')
    data = {figure.get_attribute('data-kind'): json.loads(figure.get_attribute('data-figure'))
            for figure in browser.all('.taidpt-touch')}
    its = data['pooling']
    P = torch.tensor(its['maps'])           # cosines: vectors at the angles that give them
    vectors, L = torch.stack([P, (1 - P**2).sqrt()], -1), torch.tensor([[1., 0.]])
    for k in (4, 12):
        slide('pooling', k)
        name = shown('pooling').split(' at temperature')[0]
        want = local_scores(vectors, L, its['taus'][k])[:, 0]
        assert abs(number('pooling', 'local score') - want[its['names'].index(name)]) < 1e-3
    its = data['margin']
    scores, labels = torch.tensor(its['scores'])[:1], torch.tensor(its['labels'])[:1]
    for m, s in ((20, 3), (40, 15)):
        slide('margin', m, s)
        want = ranking_loss(its['scales'][s]*scores, labels, its['margins'][m]).item()
        assert abs(number('margin', 'Loss:') - want) < 1e-3
    assert not browser.problems()


# Try it

PAGE = '''
const [names, photos, done] = arguments;
const work = async () => {
    const {Tagger, prepared, pixelsOf} = await import('./page/page.js');
    const tagger = window.tagger ??= await Tagger.open(), found = [];
    const {about: {pixels}} = await tagger.graph(tagger.about.classes.coco);
    for (const i of photos) {
        const image = document.querySelectorAll('.gallery img')[i];
        await image.decode();
        const view = prepared(await createImageBitmap(image), pixels);
        const own = {view: view.toDataURL()};
        found.push(own);
        if (!names) continue;
        const features = await tagger.look(pixelsOf(view, pixels), pixels.size);
        for (const name in tagger.about.classes) own[name] = await tagger.score(features, name);
        own.typed = await tagger.scoreTyped(features, names);
    }
    return found;
};
work().then(done, error => done(String(error.stack)));
'''

def test_try_it(served, site, browser):
    """From the same pixels the page computes what Python does, also for classes that one types; its
    own pixels give the tags of all but two bundled photos at most"""
    if not (site/'page/ort.wasm.bundle.min.mjs').exists(): pytest.skip('there is no npm here')
    clip, photos = load_clip(device='cpu'), reference_photos()
    models = {path.stem: TaIDPT.load(path, clip) for path in (DATA/'prompts').iterdir()}
    names = 'cat,dog,fire truck,tennis court,kitchen,axolotl,café,snow,people,T-shirt'.split(',')
    models['typed'] = open_model(ClassSet('typed', names), clip, captions=False)

    def busy(): return browser.find('.taidpt-page').get_attribute('aria-busy') != 'false'

    def seen(*args):
        results = browser.execute_async_script(PAGE, *args)
        assert isinstance(results, list), results
        def image(it): return Image.open(io.BytesIO(base64.b64decode(it['view'].split(',')[1])))
        return results, [image(it).convert('RGB') for it in results]

    # a photo is tagged before the model is fetched, and rows are in the order of what they show
    browser.get(f'{served}/try.html')
    browser.until(lambda: browser.all('.classes [role=option]'), 'no photo is tagged')
    shown = lambda: browser.find('.taidpt-explorer .told').text
    assert shown() == 'Present: bicycle, motorbike.'
    assert not browser.execute_script(
        "return performance.getEntriesByType('resource').some(e => e.name.endsWith('.onnx'))")
    def rows(kind):
        return [float(row.text) for row in browser.all(f'.classes .{kind} .score')]
    for kind in ('present', 'absent'): assert rows(kind) == sorted(rows(kind), reverse=True)
    results, views = seen(names, [0, 9, 13, 29, 33])
    for name, model in models.items():
        scores = model.predict(views, progress=False).numpy()
        maps = model.predict_dense(views, progress=False)
        wanted = dict(scores=scores, limits=model.rule().thresholds(scores), maps=maps.numpy())
        for what, numbers in wanted.items():
            assert np.abs([it[name][what] for it in results] - numbers).max() < 1e-3

    _, views = seen(None, [*range(36)])
    def present(tags): return {tag.label for tag in tags if tag.present}
    def tags(images): return [*map(present, models['coco'].tags(images, progress=False))]

    assert sum(map(operator.eq, tags(views), tags(photos))) >= 34

    # a click, without a network, on a phone
    browser.width(PHONE)
    browser.find('.gallery [role=option]').click()
    browser.until(lambda: 'motorbike' not in shown() and not busy(), 'no tags')
    network = dict(offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    browser.execute_cdp_cmd('Network.enable', {})
    browser.execute_cdp_cmd('Network.emulateNetworkConditions', network)
    parked = browser.all('.gallery [role=option]')[29]
    browser.execute_script('arguments[0].click()', parked)
    browser.until(lambda: 'bicycle, motorbike' in shown(), 'no tags')
    assert not browser.execute_script(CHECKS)['wide'] and not browser.problems()

    # what goes wrong is said
    browser.execute_cdp_cmd('Network.setCacheDisabled', dict(cacheDisabled=True))
    alert = lambda: browser.find('.taidpt-page [role=alert]').text
    browser.execute_script("""const sets = document.querySelector('.choices select');
        sets.selectedIndex = 2; sets.dispatchEvent(new Event('change'));""")
    browser.until(lambda: 'connection was lost' in alert(), 'no word on the network')
    browser.find('input[type=file]').send_keys(str(ROOT/'README.md'))
    browser.until(lambda: 'README.md is not an image' in alert(), 'no word on the file')
    browser.execute_cdp_cmd('Network.disable', {})


# A page of one's own

@pytest.fixture
def slow_page(tmp_path):
    """The address of a page whose runtime cannot be fetched; the second half of its graphs comes
    after an event"""
    pytest.importorskip('onnx')
    export_page({'two': ZeroShotCLIP(load_clip(), ['cat', 'dog'])}, tmp_path)
    page = json.loads((tmp_path/'page.json').read_text())
    (tmp_path/'page.json').write_text(json.dumps(page | {'runtime': 'http://127.0.0.1:1/'}))
    goes_on = threading.Event()

    class HalfFirst(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): pass
        def copyfile(self, source, outputfile):
            content = source.read()
            half = len(content)//2
            outputfile.write(content[:half])
            if self.path.endswith('.onnx'): goes_on.wait(60)
            outputfile.write(content[half:])

    handler = partial(HalfFirst, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}', goes_on
        goes_on.set()
        server.shutdown()


def test_a_page_without_its_runtime_says_so(slow_page, browser):
    "And goes on saying so, while the rest of the model arrives"
    address, goes_on = slow_page
    browser.get(address)
    browser.until(lambda: browser.all('input[type=file]'), 'the page does not start')
    photo = ROOT/'taidpt/data/coco_demo/images/000000007281.jpg'
    browser.find('input[type=file]').send_keys(str(photo))
    def alert(): return browser.find('.taidpt-page [role=alert]').text
    browser.until(lambda: 'connection was lost' in alert(), 'no word on the network')
    goes_on.set()
    arrived = """return performance.getEntriesByType('resource')
        .filter(e => e.name.endsWith('clip-tower.onnx') && e.responseEnd).length"""
    browser.until(lambda: browser.execute_script(arrived), 'the graph does not arrive')
    time.sleep(1)                                           # for what is still to be heard of it
    assert 'connection was lost' in alert()
    assert not browser.find('.taidpt-page progress').is_displayed()


# The report

def test_report(tmp_path, browser):
    """It filters and shows more by pointer and by keyboard, runs no other script, and a phone can
    scroll it"""
    photos = bundled_photos(VOC2007.spelled_naturally())[:20]
    model = ZeroShotCLIP(load_clip(), photos.classes, local=False)
    page = tmp_path/'report.html'
    evaluate_model({'mine': model}, photos, by_names=False).save_report(page)
    other = '<script>document.title = "another script"</script></main>'
    page.write_text(page.read_text().replace('</main>', other))
    browser.get(page.as_uri())
    assert browser.title != 'another script'
    assert [p for p in browser.problems() if 'Content Security Policy' in p]   # of what was put in

    def cards(): return [card for card in browser.all('.card') if card.is_displayed()]

    assert len(cards()) == 12 and browser.find('.told').text == '12 of 20 photos shown'
    browser.find('.more').send_keys(Keys.ENTER)
    assert len(cards()) == 20 and not browser.find('.more').is_displayed()
    assert browser.switch_to.active_element == browser.all('.card')[12]     # a keyboard goes on
    browser.find('[value=missed]').click()
    assert cards() and all(card.find_elements(By.CSS_SELECTOR, '.miss') for card in cards())
    browser.find('[name=how]').click()
    browser.width(PHONE)
    assert not browser.execute_script(CHECKS)['wide'] and len(cards()) == 12
    assert max(card.size['height'] for card in cards()) < PHONE[1]
    assert not browser.problems()


# The Explorer

@pytest.fixture
def address(tmp_path):
    "Where `taidpt app` serves the Explorer; Ctrl-C ends it"
    pytest.importorskip('voila')
    names = 'JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR'
    folders = {name: str(tmp_path) for name in names}
    (tmp_path/'voila.json').write_text('{"Voila": {"ip": "0.0.0.0", "token": ""}}')   # not heeded
    python_path = os.pathsep.join([str(ROOT), os.environ['PYTHONPATH']])
    env = os.environ | QUIET | folders | dict(PYTHONPATH=python_path)
    with open(tmp_path/'server.log', 'w') as log:
        process = subprocess.Popen(
            [tool('taidpt'), 'app', '--no-browser', '--quiet'], cwd=tmp_path, env=env, text=True,
            stderr=log, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    yield process.stdout.readline().strip()
    print((tmp_path/'server.log').read_text())
    process.send_signal(signal.SIGINT)
    try: assert process.wait(30) == 0
    finally: process.kill()


def listens(port, host='127.0.0.1') -> bool:
    with socket.socket() as s: return s.connect_ex((host, port)) == 0


def test_explorer(address, tmp_path, browser):
    """`taidpt app` serves it behind a token; one looks, points, adds, reads and uploads, by pointer
    and by keyboard"""
    plain, _, token = address.partition('?token=')
    assert plain.startswith('http://127.0.0.1:') and len(token) == 48
    port = int(plain.rpartition(':')[2].strip('/'))
    browser.until(lambda: listens(port), 'nothing is served', 120)
    assert not listens(port, '127.0.0.2')                          # another address of this machine
    browser.get(plain)
    assert '/login' in browser.current_url and not browser.all('.taidpt-explorer')
    browser.get(address)
    pointer = ActionChains(browser)

    def names():
        return [one.get_attribute('data-name') for one in browser.all('.classes [role=option]')]

    def option(name): return browser.find(f'.classes [data-name="{name}"]')
    def text(part): return browser.find(f'.taidpt-explorer .{part}').text
    def shows(name): return text('told').startswith(f'{name}: score')

    browser.until(names, 'the Explorer does not appear', 240)
    first, second = names()[:2]
    assert len(names()) == 20 and text('told').startswith(f'Present: {first}')
    assert 'present, threshold' in option(first).get_attribute('aria-label')

    browser.width(PHONE)
    assert not browser.execute_script("return document.documentElement.scrollWidth > innerWidth")
    browser.shoot('explorer-phone')
    browser.width(DESK)

    # the class under the pointer, and the same by keyboard
    browser.execute_script("document.querySelector('.taidpt-explorer').scrollIntoView()")
    pointer.move_to_element(option(second)).perform()
    browser.until(lambda: shows(second), 'pointing at a class changes nothing')
    assert browser.find('.view').value_of_css_property('background-image').count('data:') == 2
    browser.execute_script('document.querySelector(\'.classes [tabindex="0"]\').focus()')
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    browser.until(lambda: shows(second), 'the arrow key does not move')

    # a class is added by keyboard, and taken away
    browser.find('.gallery [role=option]').click()
    browser.until(lambda: '000000000285' in text('credit'), 'the photo is not shown')
    sentence, name = browser.all('.taidpt-app .controls input[type=text]')
    name.send_keys('bear', Keys.ENTER)
    browser.until(lambda: 'bear' in names() and shows('bear'), 'the class is not added')
    browser.find('.taidpt-app .controls button').send_keys(Keys.ENTER)
    browser.until(lambda: 'bear' not in names(), 'the class is not taken away')

    # a sentence
    sentence.send_keys('A man rides a horse past a parked bus.', Keys.ENTER)
    browser.until(lambda: 'horse' in text('words'), 'the sentence is not shown')
    pointer.move_to_element(option('horse')).perform()
    browser.until(lambda: shows('horse') and text('words .best'), 'no words for a class')

    # what is uploaded is a photo, or none
    broken = tmp_path/'holiday.jpg'
    broken.write_bytes((ROOT/'taidpt/data/coco_demo/images/000000007281.jpg').read_bytes()[:5000])
    browser.find('input[type=file]').send_keys(str(broken))
    alert = lambda: browser.find('.taidpt-app [role=alert]').text
    browser.until(lambda: 'holiday.jpg' in alert(), 'no word on a broken image')
    # Voilà's template asks the internet for icons, and goes without
    assert not [p for p in browser.problems() if 'fontawesome-free' not in p]
