"""The site and the Explorer as a person meets them: in a browser, on a desk and on a phone.

Screenshots of the Explorer and of what fails stay in tests/artifacts.
"""
import http.server, io, json, os, re, shutil, signal, socket, subprocess, threading
from functools import partial

import numpy as np
import pytest
import torch
from conftest import ROOT, tool
from PIL import Image

pytest.importorskip('selenium')
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchElementException, StaleElementReferenceException, TimeoutException)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from taidpt.all import VOC2007, ZeroShotCLIP, bundled_photos, load_clip, local_scores, ranking_loss
from taidpt.apps.report import write_report

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
        # sliding smoothly, an element's picture would wait ten seconds for the end
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

    def until(self, what, about, seconds=60):
        "Wait until `what` is true; fail with a picture of the page if it never is"
        not_yet = NoSuchElementException, StaleElementReferenceException
        try: return WebDriverWait(self, seconds, 0.1, not_yet).until(lambda _: what())
        except TimeoutException:
            self.shoot('failed')
            raise AssertionError(f'{about}; on the page: {self.find("body").text[:2000]}') from None

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
    pictures: all('img').filter(e => shown(e) && !loaded(e)).map(e => e.src.slice(0, 200)),
    alt: all('article img').filter((e, i, list) => !e.alt.trim() && !another(e, list[i - 1]))
        .map(e => e.src.slice(-80)),
    wide: all('html, .content').filter(scrolls).length,
    equation: math.filter(cut).map(text),
    code: code.filter(scrolls).map(text),
    wrapped: desk ? cells.filter(wrapped).map(text) : 0,
    loose: desk ? 0 : all('article td:first-child').filter(e => !sticks(e)).length,
    headings: levels.filter((n, i) => n > (levels[i - 1] ?? 0) + 1 || n === 1 && i),
    elsewhere: asked.filter(e => !ours(e)).map(e => e.name),
};
'''

def all_loaded(browser):
    "Wait for the pictures of a page"
    loaded = lambda: not browser.execute_script(CHECKS)['pictures']
    browser.until(loaded, 'the pictures do not load')


UNFOLD = "document.querySelectorAll('article details').forEach(e => { e.open = true; })"

def test_pages(site, served, browser):
    """On a desk and on a phone nothing is missing, cut off or without words; 100 columns of code
    fit; first columns stay in sight"""
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


@pytest.mark.parametrize('page', ['paper/rank_pictures', '04_clip', 'paper/beyond'])
def test_code_is_never_cut(served, browser, page):
    "On a wide screen no cell scrolls sideways and no line of code breaks, also of what is folded"
    browser.width((1440, 900))
    browser.get(f'{served}/{page}.html')
    browser.execute_script(UNFOLD)
    checks = browser.execute_script(CHECKS)
    assert browser.all('.cell_input pre')
    assert not checks['code'] + checks['wrapped']


PLACES = 'return arguments[0].map(e => e.getBoundingClientRect().toJSON())'

@pytest.mark.parametrize('page', ['paper/table1', 'paper/beyond', 'paper/family'])
def test_wide_figures_on_a_phone(served, browser, page):
    "They stay as large as on a desk, and scroll in themselves, while the page does not"
    browser.width(PHONE)
    browser.get(f'{served}/{page}.html')
    all_loaded(browser)
    figures = [figure for figure in browser.all('img[data-wide]') if figure.is_displayed()]
    assert figures
    for place in browser.execute_script(PLACES, figures):
        assert place['width'] > 540
        assert place['height'] > 150
    assert not browser.execute_script(CHECKS)['wide']
    browser.execute_script('arguments[0].closest(".cell_output").scrollLeft = 100', figures[0])
    [moved] = browser.execute_script(PLACES, figures[:1])
    assert moved['left'] < 0


def test_tables_on_a_phone(served, browser):
    "A claim and its verdict are in sight at once; a wide table scrolls under its first column"
    browser.width(PHONE)
    browser.get(f'{served}/paper/report.html')
    heads = '.table-wrapper th:nth-child({})'
    verdicts = [head for head in browser.all(heads.format(2)) if head.text == 'verdict']
    assert len(verdicts) > 3
    for place in browser.execute_script(PLACES, verdicts): assert place['right'] <= PHONE[0]
    scroll = 'arguments[0].closest(".table-wrapper").scrollLeft = 60'
    row = 'return [...arguments[0].closest("table").querySelector("tbody tr").cells]'
    before = browser.execute_script(PLACES, browser.execute_script(row, verdicts[0]))
    browser.execute_script(scroll, verdicts[0])
    after = browser.execute_script(PLACES, browser.execute_script(row, verdicts[0]))
    assert after[0]['left'] == pytest.approx(before[0]['left'], abs=3)
    assert after[1]['left'] == pytest.approx(before[1]['left'] - 60, abs=3)
    browser.get(f'{served}/reference/learner.html')
    first = browser.execute_script(PLACES, browser.all('.table-wrapper td:first-child'))
    assert max(place['width'] for place in first) < .45*PHONE[0]


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
        found = browser.execute_async_script(
            'axe.run(document, arguments[0]).then(r => arguments[1](r.violations))', options
        )
        wrong.extend(
            f'{page}, {theme}: {fault["id"]}: {node["html"][:150]} {node["failureSummary"][:300]}'
            for fault in found
            for node in fault['nodes'][:3]
        )

    for page in ('index.html', '05_prompts.html', 'reference/scores.html'):
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

def test_keyboard_and_copying(served, browser):
    """Tab goes through the front page in the order of reading, and one sees where one is; a button
    copies a cell's code"""
    browser.get(f'{served}/index.html')
    for _ in range(40):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        step = browser.execute_script(FOCUS)
        assert step['what'] and step['after'] and step['seen'], step

    browser.execute_cdp_cmd(
        'Browser.grantPermissions',
        dict(origin=served, permissions=['clipboardReadWrite', 'clipboardSanitizedWrite']),
    )
    browser.get(f'{served}/06_scores.html')
    browser.until(lambda: browser.all('button.copybtn'), 'there are no buttons to copy')
    assert {'Imports', 'Tests'} <= {s.text for s in browser.all('details.hide > summary')}
    assert not browser.find('details.hide pre').is_displayed()
    cell = browser.find('div.cell:has(.cell_output pre):has(button.copybtn)')
    code = cell.find_element(By.CSS_SELECTOR, '.cell_input pre')
    ActionChains(browser).move_to_element(code).perform()
    cell.find_element(By.CSS_SELECTOR, 'button.copybtn').click()
    read = lambda: browser.execute_async_script(
        'navigator.clipboard.readText().then(arguments[0], e => arguments[0](`${e}`))'
    ).replace('\r', '')
    browser.until(lambda: read().strip() == code.text.strip(), 'the button does not copy')


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
    return [tuple(found) for found in browser.execute_script(FOUND)]


@pytest.mark.parametrize('words, page, place', [
    ('tag my photos', 'tutorials/your_own_classes', 'A tagger for your own classes'),
    ('cite', 'index', 'Licence and citation'),
    ('install', 'index', 'Install'),
    ('speed', 'paper/speed', 'Speed and memory'),
    ('modality gap', 'paper/statements', 'The gap between texts and pictures (Sec. 3.4)'),
    ('install offline', 'security', 'Without a network'),
    ('GPU', 'paper/speed', 'On a GPU')])
def test_what_people_search_for(served, browser, words, page, place):
    "The first hit leads to the heading that answers, also where the page has other words for it"
    [(_, path), *others] = searched(browser, served, words)
    assert path == f'/{page}.html'
    assert others or words != 'modality gap'
    browser.find('#search-results li > a').click()
    browser.until(lambda: f'{page}.html' in browser.current_url, 'the first hit leads elsewhere')
    section = browser.execute_script('return document.querySelector(location.hash || "article")')
    assert section.text.startswith(place)


def test_finding_ones_way(served, browser):
    """The menu shows the group of the page and scrolls to it; search names the page that teaches
    first, and the reference last"""
    browser.get(f'{served}/paper/train_mini_clip.html')
    opened = browser.all('.sidebar-tree details[open] > summary')
    assert [group.text.lower() for group in opened] == ['the paper']
    page, menu = (browser.find(f'.sidebar-scroll{css}').rect for css in (' .current-page', ''))
    assert menu['y'] <= page['y'] and page['y'] + page['height'] <= menu['y'] + menu['height']
    for words, title in (
        ('own classes', 'A tagger for your own classes'),
        ('ranking loss', 'Losses > Ranking loss'),
        ('learning rate', 'Training > The learning rate'),
    ):
        found = searched(browser, served, words)
        assert found[0][0].startswith(title), found[0]
        reference = ['/reference/' in path for _, path in found]
        assert reference == sorted(reference)


def shot(element, mode='L'):
    return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert(mode)).astype(int)


def in_theme(browser, theme, system):
    """The page that is open as one finds it anew with this choice on its switch, under a system
    that prefers another or the same"""
    browser.theme(system)
    browser.execute_script('localStorage.setItem("theme", arguments[0])', theme)
    browser.refresh()
    all_loaded(browser)


@pytest.mark.parametrize('size', [DESK, PHONE])
def test_front_page(served, browser, size):
    """The idea and a command are on the first screen, in the layout for its width, and dark where
    the page is dark"""
    browser.width(size)
    browser.get(f'{served}/index.html')
    for theme, other in (('light', 'dark'), ('dark', 'light')):
        in_theme(browser, theme, other)
        idea, command = browser.find('article picture img'), browser.find('article .highlight')
        browser.until(
            lambda: shot(idea).mean() < 90 if theme == 'dark' else shot(idea).mean() > 180,
            f'the idea is not {theme} on a {theme} page',
        )
        drawing = 'idea.svg' if size == DESK else 'idea-tall.svg'
        assert idea.get_property('currentSrc').endswith(f'/{drawing}')
        assert 'make demo' in command.text
        assert command.rect['y'] + 40 <= size[1]


def test_figures(served, browser):
    """A figure has the page's ground, and ink that stands out from it; a phone shows panels one
    below the other"""
    browser.get(f'{served}/07_losses.html')
    def look():
        "Its ground, and whether ink stands out from it; None where nothing is painted yet"
        figures = browser.all('.cell_output img[src*=".svg"]')
        pixels = shot(next(one for one in figures if one.is_displayed()))
        ground = pixels[2:6, 2:6].mean()
        if pixels.std() < 5: return None
        return 'light' if ground > 127 else 'dark', np.abs(pixels - ground).max() > 150

    for theme, system, wanted in (
        ('light', 'dark', 'light'), ('dark', 'light', 'dark'), ('auto', 'dark', 'dark'),
        ('auto', 'light', 'light'),
    ):
        in_theme(browser, theme, system)
        browser.until(
            lambda: look() == (wanted, True),
            f'{theme} page, {system} system: the chart has no {wanted} ground',
        )
    fonts = browser.execute_async_script(
        "document.fonts.load('16px taidptMath').then(found => arguments[0](found.length))"
    )
    assert fonts == 1
    panels = browser.all('.tag_panels img.only-light')[:2]
    assert panels[0].rect['y'] == panels[1].rect['y']
    browser.width(PHONE)
    assert panels[0].rect['y'] + panels[0].rect['height'] <= panels[1].rect['y']


PARTS = """
const [img, done] = arguments;
// in its own size, on whole pixels
img.style.cssText = `position: fixed; top: 0; left: 0; max-width: none; z-index: 99;
                     background: var(--color-background-primary)`;
const around = img.getBoundingClientRect();
const measured = svg => {
  svg.style.cssText = `position: absolute; top: 0; left: 0;
                       width: ${around.width}px; height: ${around.height}px`;
  document.body.append(svg);
  const from = svg.getBoundingClientRect();
  const shapes = [...svg.querySelectorAll('image, g[id^="as-is-key"] path')];
  const parts = shapes.filter(shape => !shape.closest('defs')).map(shape => {
    const {left, top, width, height} = shape.getBoundingClientRect();
    const [, kind] = (shape.getAttribute('xlink:href') || '').match(/^data:image.(\\w+)/) || [];
    return {kind: kind || 'patch', box: [left - from.left, top - from.top, width, height]};
  });
  svg.remove();
  return parts;
};
fetch(img.src).then(answer => answer.text()).then(text => {
  done(measured(new DOMParser().parseFromString(text, 'image/svg+xml').documentElement));
});"""


class Drawing:
    """A notebook's figure on the page that is open: its photos, its maps with their keys, and how
    they look in a theme"""
    def __init__(self, browser, image):
        self.parts = browser.execute_async_script(PARTS, image)
        self.pixels = shot(image, 'RGB')
        browser.execute_script('arguments[0].style.cssText = ""', image)

    def look(self, part):
        "The pixels of a part, without its edge"
        x, y, width, height = part['box']
        return self.pixels[round(y) + 2:round(y + height) - 2, round(x) + 2:round(x + width) - 2]

    def colours(self, kind):
        "Of its maps, its colour bars, which are narrow maps, or the patches of its legend"
        found = []
        for part in self.parts:
            is_bar = part['kind'] == 'png' and part['box'][2] < 30
            own = 'bar' if is_bar else 'map' if part['kind'] == 'png' else part['kind']
            if own == kind: found.append(self.look(part).reshape(-1, 3))
        return np.vstack(found) if found else None


def foreign(pixels, key, tolerance=12):
    "The share of pixels in colours that a key lacks; pixels between two cells are few"
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    known = np.unique(key, axis=0)
    apart = np.abs(colours[:, None] - known[None]).max(2).min(1)
    return counts[apart > tolerance].sum() / counts.sum()


WITH_KEYS = [
    '04_clip', '05_prompts', '13_taidpt', '16_visualize', 'tutorials/learn', 'baselines/coop',
    'datasets/samples',
]


def says_what_its_key_says(drawing) -> bool:
    "Whether a figure has a map with a key; fails if their colours differ"
    shown, bars, patches = (drawing.colours(kind) for kind in ('map', 'bar', 'patch'))
    if shown is None: return False
    if bars is not None: assert foreign(shown, bars) < .1
    if patches is not None:
        assert foreign(shown, patches) < .1
        assert foreign(patches, shown) < .1
    return bars is not None or patches is not None


@pytest.mark.parametrize('page', WITH_KEYS)
def test_a_map_says_what_its_key_says(served, browser, page):
    """Colour bars and legends have the colours of their maps, and no photo or map changes, on light
    pages and on dark ones"""
    browser.get(f'{served}/{page}.html')
    looks = {}
    for theme in ('light', 'dark'):
        in_theme(browser, theme, 'light')
        images = browser.all(f'.cell_output img.only-{theme}')
        looks[theme] = [Drawing(browser, image) for image in images if image.is_displayed()]
    for light, dark in zip(looks['light'], looks['dark'], strict=True):
        assert np.abs(light.pixels - dark.pixels).max() > 150             # its ink changes
        for part in light.parts:
            change = np.abs(light.look(part) - dark.look(part)).mean()
            assert change < 2, f'a {part["kind"]} changes'
    for drawings in looks.values(): assert any([says_what_its_key_says(one) for one in drawings])


# Figures to touch

class Figure:
    "A figure of one kind on the page that is open"
    def __init__(self, browser, kind):
        self.b, self.kind = browser, f'.taidpt-touch[data-kind={kind}]'
        browser.until(lambda: browser.all(f'{self.kind}.moves'), f'the figure {kind} does not move')
        browser.execute_script(
            'document.documentElement.style.scrollBehavior = "auto"; arguments[0].scrollIntoView()',
            browser.find(self.kind),
        )
        self.data = json.loads(browser.find(self.kind).get_attribute('data-figure'))

    def all(self, css): return self.b.all(f'{self.kind} {css}')
    def told(self): return self.all('.told')[0].text

    def number(self, after):
        return float(re.search(re.escape(after) + r' ?(-?[\d.]*\d)', self.told())[1])

    def slide(self, index, which=0):
        self.b.execute_script(
            'arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event("input"))',
            self.all('input')[which],
            index,
        )


def test_figures_to_touch(served, browser):
    "What they work out is what the package computes; a pointer and keys move them"
    browser.get(f'{served}/tutorials/touch.html')
    f = Figure(browser, 'pooling')
    P = torch.tensor(f.data['maps'])  # cosines: vectors at the angles that give them
    for k in (4, 7, 12):
        f.slide(k)
        name = f.told().split(' at temperature')[0]
        F_, L = torch.stack([P, (1 - P**2).sqrt()], -1), torch.tensor([[1., 0.]])
        want = local_scores(F_, L, f.data['taus'][k])[:, 0]
        assert abs(f.number('local score') - want[f.data['names'].index(name)]) < 1e-3
    f = Figure(browser, 'margin')
    scores, labels = torch.tensor(f.data['scores']), torch.tensor(f.data['labels'])
    for m, s in ((20, 3), (7, 0), (40, 15)):
        f.slide(m, 0)
        f.slide(s, 1)
        margin, row, y = f.data['margins'][m], f.data['scales'][s]*scores[0], labels[0]
        assert abs(f.number('Loss:') - ranking_loss(row[None], y[None], margin).item()) < 1e-3
        assert f.number('Active pairs:') == (margin - row[y][:, None] + row[~y] > 0).sum()
    f = Figure(browser, 'places')
    ActionChains(browser).move_to_element(f.all('.row[data-i="1"]')[0]).perform()
    browser.until(
        lambda: f.told().startswith(f'{f.data["names"][1]}: in the photo'),
        'pointing at a class changes nothing',
    )
    browser.execute_script('arguments[0].focus()', f.all('.grid [tabindex="0"]')[0])
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert f.told().startswith('At row 2, column 2 of the photo') and not browser.problems()
    browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', dict(value=True))
    browser.refresh()
    # a reader without JavaScript has the words
    assert 'In the sentence: ' in browser.find('.taidpt-touch').text
    browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', dict(value=False))


# The report

def test_report(tmp_path, browser):
    """It filters and shows more by pointer and by keyboard, runs no other script, and a phone can
    scroll it"""
    photos = bundled_photos(VOC2007.spelled_naturally())[:20]
    model = ZeroShotCLIP(load_clip(), photos.classes, local=False)
    scores = {'zero-shot CLIP': model.predict(photos.pictures, progress=False)}
    write_report(tmp_path/'report.html', model, photos, scores, '')
    page = (tmp_path/'report.html').read_text()
    (tmp_path/'report.html').write_text(
        page.replace('</main>', '<script>document.title = "another script"</script></main>')
    )
    browser.get((tmp_path/'report.html').as_uri())
    assert browser.title != 'another script'
    # of the script that was put in
    assert [p for p in browser.problems() if 'Content Security Policy' in p]

    def cards(): return [card for card in browser.all('.card') if card.is_displayed()]
    def shown(): return [set(card.get_attribute('class').split()) for card in cards()]

    assert len(shown()) == 12 and browser.find('.told').text == '12 of 20 photos shown'
    browser.find('.more').send_keys(Keys.ENTER)
    assert len(shown()) == 20 and not browser.find('.more').is_displayed()
    # a keyboard goes on from there
    assert browser.switch_to.active_element == browser.all('.card')[12]
    for how in ('right', 'wrong', 'missed'):
        radio = browser.find(f'[value={how}]')
        radio.click()
        count = int(radio.find_element(By.XPATH, '..').text.split('(')[1][:-1])
        assert 0 < len(shown()) == min(count, 12) and all(how in marks for marks in shown())
    browser.find('[name=how]').click()
    select = Select(browser.find('.filters select'))
    bus = next(o for o in select.options if o.text.startswith('bus ('))
    select.select_by_visible_text(bus.text)
    assert len(shown()) == int(bus.text[5:-1])
    assert all(f'c{bus.get_attribute("value")}' in marks for marks in shown())
    select.select_by_index(0)
    for size in (DESK, PHONE):
        browser.width(size)
        assert not browser.execute_script(CHECKS)['wide'] and len(shown()) == 12
    # each photo with its tags on one screen
    assert max(card.size['height'] for card in cards()) < PHONE[1]
    assert not [p for p in browser.problems() if not p.startswith('asks for file:')]


# The Explorer

@pytest.fixture
def address(tmp_path):
    "Where `taidpt app` serves the Explorer; Ctrl-C ends it"
    pytest.importorskip('voila')
    names = (
        'JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR', 'JUPYTERLAB_SETTINGS_DIR',
        'IPYTHONDIR')
    folders = {name: str(tmp_path/name.lower()) for name in names}
    (tmp_path/'jupyter_config_dir').mkdir()
    not_heeded = '{"Voila": {"ip": "0.0.0.0", "token": ""}}'
    (tmp_path/'jupyter_config_dir/voila.json').write_text(not_heeded)
    python_path = os.pathsep.join([str(ROOT), os.environ['PYTHONPATH']])
    quiet = dict(OMP_NUM_THREADS='1', TQDM_DISABLE='1', HF_HUB_OFFLINE='1')
    env = os.environ | folders | quiet | dict(PYTHONPATH=python_path)
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


class App:
    "The Explorer on a page"
    def __init__(self, browser):
        self.b = browser
        browser.until(self.classes, 'the Explorer does not appear', 240)

    def classes(self): return self.b.all('.taidpt-explorer .classes [role=option]')
    def names(self): return [o.get_attribute('data-name') for o in self.classes()]
    def option(self, name): return self.b.find(f'.taidpt-explorer .classes [data-name="{name}"]')
    def text(self, part): return self.b.find(f'.taidpt-explorer .{part}').text


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
    app, pointer = App(browser), ActionChains(browser)
    first, second = app.names()[:2]
    assert len(app.classes()) == 20 and app.text('told').startswith(f'Present: {first}')
    assert 'present, threshold' in app.option(first).get_attribute('aria-label')

    browser.shoot('explorer-first', browser.find('.taidpt-explorer'))

    # dark, on a phone
    browser.theme('dark')
    browser.width(PHONE)
    browser.until(
        lambda: (shot(browser.find('body')) > 225).mean() < .1,
        'a page that is to be dark has white areas',
    )
    assert not browser.execute_script("return document.documentElement.scrollWidth > innerWidth")
    browser.execute_script("document.querySelector('.taidpt-explorer').scrollIntoView()")
    browser.shoot('explorer-phone-dark')
    browser.theme('light')
    browser.width(DESK)

    # the class under the pointer, and the same by keyboard
    browser.execute_script("document.querySelector('.taidpt-explorer').scrollIntoView()")
    pointer.move_to_element(app.option(second)).perform()
    browser.until(
        lambda: app.text('told').startswith(f'{second}: score'),
        'pointing at a class changes nothing',
    )
    browser.execute_script('document.querySelector(\'.classes [tabindex="0"]\').focus()')
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    browser.until(lambda: app.text('told').startswith(f'{second}:'), 'the arrow key does not move')

    # a class is added by keyboard, and taken away
    browser.find('.gallery [role=option]').click()
    browser.until(lambda: '000000000285' in app.text('credit'), 'the photo is not shown')
    sentence, name = browser.all('.taidpt-app .controls input[type=text]')
    name.send_keys('bear', Keys.ENTER)
    browser.until(
        lambda: 'bear' in app.names() and app.text('told').startswith('bear: score'),
        'the class is not added',
    )
    assert len(app.classes()) == 21
    assert app.names()[0] == 'bear'
    assert app.option('bear').get_attribute('class') == 'present'
    browser.shoot('explorer-added', browser.find('.taidpt-explorer'))
    browser.find('.taidpt-app .controls button').send_keys(Keys.ENTER)
    browser.until(
        lambda: len(app.classes()) == 20 and 'bear' not in app.names(),
        'the class is not taken away',
    )

    # a sentence
    sentence.send_keys(
        'A man rides a horse past a parked bus while his dog runs behind.', Keys.ENTER
    )
    browser.until(lambda: 'horse' in app.text('words'), 'the sentence is not shown')
    pointer.move_to_element(app.option('horse')).perform()
    browser.until(
        lambda: app.text('told').startswith('horse: score') and app.text('words .best'),
        'no words for a class',
    )

    browser.shoot('explorer-sentence', browser.find('.taidpt-explorer'))

    # uploads: a photo, and what is none
    photo, broken = ROOT/'taidpt/data/coco_demo/images/000000007281.jpg', tmp_path/'holiday.jpg'
    browser.find('input[type=file]').send_keys(str(photo))
    browser.until(
        lambda: photo.name in app.text('about') and browser.find('.view').is_displayed(),
        'the upload is not shown',
    )
    broken.write_bytes(photo.read_bytes()[:5000])
    browser.find('input[type=file]').send_keys(str(broken))
    browser.until(
        lambda: 'holiday.jpg' in ' '.join(e.text for e in browser.all('.taidpt-app [role=alert]')),
        'no word on a broken picture',
    )
    assert 'Traceback' not in browser.page_source
    # Voilà's template asks the internet for icons, and goes without
    assert not [p for p in browser.problems() if 'fontawesome-free' not in p]
