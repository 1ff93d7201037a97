"""The site and the Explorer as a person meets them: in a browser, on a desk and on a phone.

A screenshot of each state stays in tests/artifacts, or in the folder that TAIDPT_ARTIFACTS names.
"""
import http.server
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

pytest.importorskip('selenium')
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
DRIVER = shutil.which('chromedriver')
if not (CHROMIUM and DRIVER): pytest.skip('there is no Chromium with its chromedriver here: `make test-docs` installs them', allow_module_level=True)
ARTIFACTS = Path(os.environ.get('TAIDPT_ARTIFACTS', ROOT/'tests/artifacts'))
PHOTOS = ROOT/'taidpt/data/coco_demo/images'
DESK, PHONE = (1280, 900), (390, 844)


class Browser(webdriver.Chrome):
    "Headless Chromium that keeps what went wrong on the pages it has been to"
    def __init__(self, watched=True):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--hide-scrollbars', '--force-color-profile=srgb'):
            options.add_argument(flag)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'} | ({'performance': 'ALL'} if watched else {}))
        super().__init__(options, Service(DRIVER))
        self.set_page_load_timeout(300)
        self.set_script_timeout(300)
        self.watched = watched
        self.width(DESK)

    def width(self, size):
        "Be as wide and high as a desk's screen or a phone's"
        self.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', dict(width=size[0], height=size[1], deviceScaleFactor=1, mobile=size == PHONE))

    def theme(self, name):
        "Prefer 'light' or 'dark', as a person's system does"
        self.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=[dict(name='prefers-color-scheme', value=name)]))

    def problems(self) -> list[str]:
        "Errors on the console, answers of 400 and more, and requests to other machines, since the last call"
        found = [e['message'] for e in self.get_log('browser') if e['level'] == 'SEVERE']
        for entry in self.get_log('performance') if self.watched else ():
            event = json.loads(entry['message'])['message']
            url = event['params'].get('request', {}).get('url', '')
            if event['method'] == 'Network.requestWillBeSent' and not url.startswith(('http://127.0.0.1:', 'data:', 'blob:', 'chrome')): found.append(f'asks for {url}')
            answer = event['params'].get('response', {})
            if event['method'] == 'Network.responseReceived' and answer['status'] >= 400: found.append(f'{answer["status"]} for {answer["url"]}')
        return found

    def find(self, css): return self.find_element(By.CSS_SELECTOR, css)
    def all(self, css): return self.find_elements(By.CSS_SELECTOR, css)

    def until(self, what, about, seconds=60):
        "Wait until `what` is true; fail with a picture of the page if it never is"
        try: return WebDriverWait(self, seconds, 0.1, (NoSuchElementException, StaleElementReferenceException)).until(lambda _: what())
        except TimeoutException:
            self.shoot('failed')
            raise AssertionError(f'{about}; on the page: {self.find("body").text[:2000]}') from None

    def shoot(self, name, element=None):
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        (self.save_screenshot if element is None else element.screenshot)(str(ARTIFACTS/f'{name}.png'))


@pytest.fixture
def browser():
    b = Browser()
    try: yield b
    finally: b.quit()


# The site

@pytest.fixture
def served(site):
    "The address of the built site"
    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'                                  # one connection for many files, and each file once
        def log_message(self, *args): pass
        def end_headers(self):
            self.send_header('Cache-Control', 'max-age=3600')
            super().end_headers()
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


CHECKS = '''
const box = e => e.getBoundingClientRect(), flat = e => !(box(e).width && box(e).height);
const scrolls = e => e.scrollWidth - e.clientWidth > 1;
const check = d => {
  const all = css => [...d.querySelectorAll(css)], text = e => e.textContent.trim().slice(0, 80);
  const shown = e => !e.closest('details:not([open]), .only-light, .only-dark');
  const boxed = e => e.closest('.math-wrapper, .table-wrapper');
  return {equations: all('math').length,
          flat: all('article math').filter(e => shown(e) && flat(e)).length,
          pictures: all('img').filter(e => shown(e) && !(e.complete && e.naturalWidth)).map(e => e.src.slice(0, 200)),
          wide: Math.max(...[d.documentElement, ...all('.content')].map(e => e.scrollWidth - e.clientWidth)),
          equation: all('article math').filter(e => shown(e) && !boxed(e) && box(e).right > d.documentElement.clientWidth).map(text),
          code: all('article pre').filter(e => shown(e) && scrolls(e)).map(text)};
};
'''

PAGES = CHECKS + '''
const [pages, sizes, done] = arguments, found = {};
const told = d => {
  const all = css => [...d.querySelectorAll(css)], levels = all('article :is(h1, h2, h3, h4, h5, h6)').map(h => +h.tagName[1]);
  const w = d.defaultView, asked = w.performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:'));
  return {lang: d.documentElement.lang ? [] : ['none'],
          headings: levels.filter((n, i) => n > (levels[i - 1] ?? 0) + 1 || n === 1 && i),
          alt: all('article img').filter(e => !e.alt.trim()).map(e => e.src.slice(-80)),
          next: all('.related-pages a').map(a => a.className),
          elsewhere: asked.filter(e => !e.name.startsWith(w.location.origin)).map(e => e.name),
          missing: asked.filter(e => e.responseStatus >= 400).map(e => e.name)};
};
const next = pages.values();
const look = async () => {
  const frame = document.createElement('iframe');
  Object.assign(frame.style, {position: 'fixed', inset: 0, border: 0, visibility: 'hidden'});
  document.body.append(frame);
  for (const page of next) {
    const there = new Promise(go => { frame.onload = go; });
    [frame.style.width, frame.style.height] = sizes[0].map(n => n + 'px');
    frame.src = page;
    await there;
    const d = frame.contentDocument;
    d.querySelectorAll('details').forEach(e => { e.open = true; });
    found[page] = [told(d), ...sizes.map(([width, height]) => {
      [frame.style.width, frame.style.height] = [width + 'px', height + 'px'];
      return check(d);
    })];
  }
};
Promise.all([look(), look()]).then(() => done(found));                // while one page comes, others are looked at
'''

def settled(browser, seconds=10) -> dict:
    "What `CHECKS` see once all pictures are there, or after `seconds` without some of them"
    end = time.monotonic() + seconds
    while (seen := browser.execute_script(f'{CHECKS} return check(document);'))['pictures'] and time.monotonic() < end: time.sleep(.1)
    return seen


def test_every_page(site, served):
    "One load of each page, looked at on a desk and on a phone: no error, nothing that is missing, cut off or without words, and a way on"
    pages = sorted(p.relative_to(site).as_posix() for p in site.rglob('*.html'))
    assert 'index.html' in pages and 'tutorials/explorer.html' in pages
    alone = {'genindex.html', 'search.html'}                           # Sphinx's own, which stand in no order
    browser = Browser(watched=False)
    try:
        browser.get(f'{served}/site.html')
        found = browser.execute_async_script(PAGES, pages, [DESK, PHONE])
        wrong = browser.problems()
    finally: browser.quit()
    assert sorted(found) == pages
    for page, (told, *seen) in found.items():
        ways = [] if page in alone else told.pop('next')
        if page not in alone and 'next-page' not in ways and page != 'site.html': wrong.append(f'{page}: no next page')
        if page not in alone and 'prev-page' not in ways and page != 'index.html': wrong.append(f'{page}: no page before')
        wrong += [f'{page}: {k} {v}' for k, v in told.items() if v and k != 'next']
        for size, state in zip((DESK, PHONE), seen):
            wrong += [f'{page} at {size[0]}: {k} {v}' for k, v in state.items() if k != 'equations' and v]
    assert not wrong, '\n'.join(wrong)
    assert sum(seen[0]['equations'] for _, *seen in found.values()) > 50


def test_readable_by_all(served):
    "axe finds nothing on a page of each kind: contrast in both themes, names of links and buttons, order of headings, languages"
    script = pytest.importorskip('axe_core_python.base').AXE_SCRIPT
    every = dict(runOnly=['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'], resultTypes=['violations'],
                 rules={'region': dict(enabled=False), 'landmark-unique': dict(enabled=False)})            # of Furo's frame
    contrast = dict(runOnly=['color-contrast'], resultTypes=['violations'])
    browser, wrong = Browser(watched=False), []
    def look(page, theme, options):
        browser.theme(theme)
        found = browser.execute_async_script('axe.run(document, arguments[0]).then(r => arguments[1](r.violations))', options)
        wrong.extend(f'{page}, {theme}: {fault["id"]}: {node["html"][:150]} {node["failureSummary"][:300]}' for fault in found for node in fault['nodes'][:3])
    try:
        for page in ('index.html', '05_prompts.html', 'paper/table1.html', 'reference/scores.html', 'licenses.html'):
            browser.get(f'{served}/{page}')
            browser.execute_script(script)
            look(page, 'light', every)
            if page != 'licenses.html': look(page, 'dark', contrast)
    finally: browser.quit()
    assert not wrong, '\n'.join(wrong)


FOCUS = '''
const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
window.went = window.went || [];
const before = window.went.at(-1);
window.went.push(e);
return {what: e === document.body ? '' : `${e.tagName} ${e.textContent.trim().slice(0, 40)}`,
        after: !before || !!(before.compareDocumentPosition(e) & Node.DOCUMENT_POSITION_FOLLOWING),
        seen: s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0 && +s.opacity > 0 && b.width > 0 && b.height > 0};
'''

def test_keyboard(served, browser):
    "Tab goes through the front page in the order of reading, and one sees where one is"
    browser.get(f'{served}/index.html')
    steps = []
    for _ in range(400):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        steps.append(browser.execute_script(FOCUS))
        if not steps[-1]['what']: break
    steps = [s for s in steps if s['what']]
    wrong = [s for s in steps if not (s['after'] and s['seen'])]
    assert len(steps) > 50 and not wrong, wrong


def test_code_is_copied(served, browser):
    "The button copies a cell's code, and there is none on what a cell printed; imports and tests are a click away"
    browser.execute_cdp_cmd('Browser.grantPermissions', dict(origin=served, permissions=['clipboardReadWrite', 'clipboardSanitizedWrite']))
    browser.get(f'{served}/06_scores.html')
    browser.until(lambda: {'Imports', 'Tests'} <= {s.text for s in browser.all('details.hide > summary')}, 'nothing is folded')
    browser.until(lambda: not browser.find('details.hide pre').is_displayed(), 'the imports are not folded')
    browser.find('details.hide > summary').click()
    browser.until(lambda: browser.find('details.hide pre').is_displayed(), 'a click does not show the imports')
    browser.find('details.hide > summary').click()
    browser.until(lambda: browser.all('button.copybtn'), 'there are no buttons to copy')
    assert browser.all('.cell_output pre') and not browser.all('.cell_output button.copybtn')
    cell = next(c for c in browser.all('div.cell') if c.find_elements(By.CSS_SELECTOR, '.cell_output pre') and c.find_elements(By.CSS_SELECTOR, 'button.copybtn'))
    code = cell.find_element(By.CSS_SELECTOR, '.cell_input pre')
    ActionChains(browser).move_to_element(code).perform()
    cell.find_element(By.CSS_SELECTOR, 'button.copybtn').click()
    read = lambda: browser.execute_async_script('navigator.clipboard.readText().then(arguments[0], e => arguments[0](`${e}`))').replace('\r', '')
    browser.until(lambda: read().strip() == code.text.strip(), 'the button does not copy')
    browser.shoot('site-code')


def test_search(served, browser):
    browser.get(f'{served}/index.html')
    browser.shoot('site-front')
    box = browser.find('.sidebar-search')
    box.send_keys('ranking loss', Keys.ENTER)
    browser.until(lambda: browser.all('#search-results li a'), 'the search finds nothing')
    browser.until(lambda: browser.find('.search-summary').text.startswith(('Found', 'Search finished')), 'the search does not finish')
    found = browser.all('#search-results li a')  # again: results come in one after the other until it has finished
    browser.shoot('site-search')
    assert any('loss' in a.text.lower() for a in found)
    found[0].click()
    assert 'loss' in browser.find('article').text.lower() and not browser.problems()


def test_phone(served, browser):
    "The menu opens on a narrow screen, and leads to a page"
    browser.width(PHONE)
    browser.get(f'{served}/06_scores.html')
    browser.shoot('site-phone')
    link = browser.find('.sidebar-tree a[href="tutorials/learn.html"]')
    inside = lambda: 0 <= link.rect['x'] < PHONE[0]
    assert not inside()
    browser.find('.mobile-header .nav-overlay-icon').click()
    browser.until(inside, 'the menu does not open')
    browser.shoot('site-phone-menu')
    link.click()
    browser.until(lambda: browser.current_url.endswith('tutorials/learn.html'), 'the menu leads nowhere')
    assert not browser.problems()


@pytest.mark.parametrize('size', [DESK, PHONE])
def test_front_page(served, browser, size):
    "The idea and the two commands are on the first screen, in the layout for its width, and dark where the page is dark"
    browser.width(size)
    browser.get(f'{served}/index.html')
    def shown(theme):
        "The page as one who chose `theme` by its switch finds it again, and how bright its drawing is"
        browser.theme('dark' if theme == 'light' else 'light')                           # the system says otherwise
        browser.execute_script('localStorage.setItem("theme", arguments[0])', theme)
        browser.refresh()
        browser.until(lambda: not settled(browser)['pictures'], 'the drawings do not load')
        assert browser.find('body').get_attribute('data-theme') == theme
        return np.asarray(Image.open(io.BytesIO(browser.find('article picture img').screenshot_as_png)).convert('L')).mean()
    for theme in ('light', 'dark'):
        browser.until(lambda: shown(theme) < 90 if theme == 'dark' else shown(theme) > 180, f'the idea is not {theme} on a {theme} page')
        idea, commands = browser.find('article picture img'), browser.find('article .highlight')
        assert idea.get_property('currentSrc').endswith('/idea.svg' if size == DESK else '/idea-tall.svg')
        assert 'make demo' in commands.text and commands.rect['y'] + 70 <= size[1]                   # three lines of it
        browser.shoot(f'site-front-{size[0]}-{theme}')


@pytest.mark.parametrize('theme, system, ground', [('light', 'dark', 'light'), ('dark', 'light', 'dark'), ('auto', 'light', 'light'), ('auto', 'dark', 'dark')])
def test_charts_have_the_ground_of_the_page(served, browser, theme, system, ground):
    "A chart, which is black on white, is turned dark on dark pages alone: whatever the system prefers, if the page's switch says otherwise"
    browser.width(DESK)
    browser.theme(system)
    browser.get(f'{served}/07_losses.html')
    browser.execute_script('localStorage.setItem("theme", arguments[0])', theme)
    browser.refresh()
    browser.until(lambda: not settled(browser)['pictures'], 'the charts do not load')
    def light():
        "Whether the chart's ground is light; None as long as the chart is not painted"
        shot = np.asarray(Image.open(io.BytesIO(browser.find('.cell_output img[src$=".png"]').screenshot_as_png)).convert('L'))
        return None if shot.std() < 5 else shot[8:16, 8:16].mean() > 127
    browser.until(lambda: light() == (ground == 'light'), f'the chart has no {ground} ground')


# The report

def test_report(tmp_path, browser):
    "It filters and shows more by pointer and by keyboard, runs no other script, and a phone can scroll it"
    from taidpt.apps.report import write_report
    from taidpt.classes import VOC2007
    from taidpt.clip import load_clip
    from taidpt.datasets.labelled import bundled_photos
    from taidpt.zeroshot import ZeroShotCLIP
    photos = bundled_photos(VOC2007.spelled_naturally())[:20]
    model = ZeroShotCLIP(load_clip(), photos.classes, local=False)
    write_report(tmp_path/'report.html', model, photos, {'zero-shot CLIP': model.predict(photos.pictures, progress=False)}, '')
    page = (tmp_path/'report.html').read_text()
    (tmp_path/'report.html').write_text(page.replace('</main>', '<script>document.title = "another script"</script></main>'))
    browser.get((tmp_path/'report.html').as_uri())
    assert browser.title != 'another script'
    assert [p for p in browser.problems() if 'Content Security Policy' in p]                  # of the script that was put in
    def shown(): return [set(c.get_attribute('class').split()) for c in browser.all('.card') if c.is_displayed()]
    def told(): return browser.find('.told').text
    assert (len(shown()), told(), browser.find('.more').text) == (12, '12 of 20 photos shown', 'Show 8 more')
    browser.find('.more').send_keys(Keys.ENTER)
    assert (len(shown()), told(), browser.find('.more').is_displayed()) == (20, '20 of 20 photos shown', False)
    assert browser.switch_to.active_element == browser.all('.card')[12]                       # a keyboard goes on from there
    for how in ('right', 'wrong', 'missed'):
        radio = browser.find(f'[value={how}]')
        radio.click()
        count = int(radio.find_element(By.XPATH, '..').text.split('(')[1][:-1])
        assert 0 < len(shown()) == min(count, 12) and all(how in marks for marks in shown())
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert all('wrong' in marks for marks in shown())
    browser.find('[name=how]').click()
    select = Select(browser.find('.filters select'))
    bus = next(o for o in select.options if o.text.startswith('bus ('))
    select.select_by_visible_text(bus.text)
    mark = bus.get_attribute('value')
    assert len(shown()) == int(bus.text[5:-1]) and all(f'c{mark}' in marks for marks in shown())
    there = {kind: sum(f'{kind[0]}{mark}' in marks for marks in shown()) for kind in ('right', 'wrong', 'missed')}
    for how, count in there.items():
        browser.find(f'[value={how}]').click()
        assert len(shown()) == count and (count or told() == 'No photo fits both.')
    assert 0 in there.values()
    browser.find('[name=how]').click()
    select.select_by_index(0)
    for size in (DESK, PHONE):
        browser.width(size)
        assert settled(browser)['wide'] <= 0 and len(shown()) == 12
        browser.shoot(f'report-{size[0]}')
    heights = [c.size['height'] for c in browser.all('.card') if c.is_displayed()]
    assert max(heights) < PHONE[1]                                                            # each photo with its tags on one screen
    assert not [p for p in browser.problems() if not p.startswith('asks for file:')]


# The Explorer

class Server:
    "A server of Jupyter on this machine, for as long as the block lasts"
    def __init__(self, tmp, *command):
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.port = s.getsockname()[1]
        self.log, self.command = tmp/'server.log', [sys.executable, '-m', *map(str, command), '--no-browser', f'--port={self.port}', '--ServerApp.ip=127.0.0.1']
        folders = {v: str(tmp/v.lower()) for v in ('JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR', 'JUPYTERLAB_SETTINGS_DIR', 'IPYTHONDIR')}
        self.env = {**os.environ, **folders, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'TQDM_DISABLE': '1', 'HF_HUB_OFFLINE': '1'}
        self.address = f'http://127.0.0.1:{self.port}'

    def __enter__(self):
        with open(self.log, 'w') as log: self.process = subprocess.Popen(self.command, cwd=ROOT, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(240):
            assert self.process.poll() is None, self.log.read_text()
            try: socket.create_connection(('127.0.0.1', self.port), 1).close()
            except OSError: time.sleep(0.5)
            else: return self
        raise AssertionError(self.log.read_text())

    def __exit__(self, *error):
        print(self.log.read_text())
        self.process.terminate()                                       # it ends its kernels first
        try: self.process.wait(30)
        except subprocess.TimeoutExpired: self.process.kill()


class App:
    "The Explorer on a page"
    def __init__(self, browser):
        self.b = browser
        browser.until(self.classes, 'the Explorer does not appear', 240)
    def classes(self): return self.b.all('.taidpt-explorer .classes [role=option]')
    def names(self): return [o.get_attribute('data-name') for o in self.classes()]
    def option(self, name): return self.b.find(f'.taidpt-explorer .classes [data-name="{name}"]')
    def text(self, part): return self.b.find(f'.taidpt-explorer .{part}').text
    def picture(self): return self.b.find('.taidpt-explorer .view').get_attribute('src')
    def loaded(self): self.b.until(lambda: self.b.execute_script("return [...document.querySelectorAll('.taidpt-explorer img')].every(i => i.complete)"), 'pictures do not load')
    def shoot(self, name, whole=False):
        self.loaded()
        self.b.shoot(name, None if whole else self.b.find('.taidpt-explorer'))
    def colours(self):
        "The picture that is shown, very small: 16 × 16 pixels in a row"
        self.loaded()
        return self.b.execute_script("""const x = new OffscreenCanvas(16, 16).getContext('2d');
            x.drawImage(document.querySelector('.taidpt-explorer .view'), 0, 0, 16, 16); return [...x.getImageData(0, 0, 16, 16).data]""")
    def dark(self, on):
        "As the system asks for"
        self.b.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=[dict(name='prefers-color-scheme', value='dark' if on else 'light')]))
    def white(self):
        "Which share of the page is nearly white, apart from the pictures"
        self.b.execute_script("for (const i of document.images) i.style.visibility = 'hidden'")
        page = Image.open(io.BytesIO(self.b.get_screenshot_as_png())).convert('L')
        self.b.execute_script("for (const i of document.images) i.style.visibility = ''")
        return sum(page.histogram()[225:])/(page.width*page.height)
    def columns(self):
        "Whether the bars are beside the pictures; nothing may be wider than the page"
        left, right, wide = self.b.execute_script("""
            const app = document.querySelector('.taidpt-explorer'), box = e => e.getBoundingClientRect();
            const out = [...app.querySelectorAll('*')].filter(e => box(e).width && !e.closest('.gallery > *') && (box(e).right > innerWidth + 1 || box(e).left < -1));
            return [box(app.querySelector('.seen')), box(app.querySelector('.bars')), out.map(e => e.outerHTML.slice(0, 99)).concat(document.documentElement.scrollWidth > innerWidth ? ['the page'] : [])]""")
        assert not wide, wide
        return 2 if right['left'] >= left['right'] else 1
    def quiet(self):
        "Nothing is wrong on the page, but for the icons that Voilà's template asks the internet for and goes without"
        wrong = [p for p in self.b.problems() if 'fontawesome-free' not in p]
        assert not wrong, wrong


def test_explorer_in_voila(tmp_path, browser):
    "Look, point, add, read, upload: by pointer and by keyboard"
    pytest.importorskip('voila')
    unwanted = '--VoilaConfiguration.extension_denylist=jupyterlab-jupytext'              # where it is installed, Voilà cannot load it and says so
    with Server(tmp_path, 'voila', 'nbs/tutorials/explorer.ipynb', unwanted) as server:
        browser.get(server.address)
        app, pointer = App(browser), ActionChains(browser)
        first, second = app.names()[:2]
        assert len(app.classes()) == 20 and first in app.text('about').partition('labelled')[2]
        assert app.text('told').startswith(f'Present: {first}') and app.option(first).get_attribute('class') == 'present'
        assert app.option(first).find_element(By.CSS_SELECTOR, '.sign').text == '✓' and 'present, threshold' in app.option(first).get_attribute('aria-label')
        assert all(o.find_elements(By.CSS_SELECTOR, '.track b') for o in app.classes()) and len(browser.all('.axis s')) > 3
        assert all(browser.find(f'.{p}').get_attribute('alt') for p in ('photo', 'view'))
        assert app.columns() == 2
        app.shoot('explorer-voila', whole=True)
        app.shoot('explorer-first')

        # light and dark, wide and narrow
        assert app.white() > .5                                         # which is what the next lines would not see
        app.dark(True)
        browser.until(lambda: app.white() < .02, 'a page that is to be dark has white areas')
        app.shoot('explorer-dark')
        browser.width(PHONE)
        assert app.columns() == 1 and app.white() < .02
        browser.execute_script("document.querySelector('.taidpt-explorer').scrollIntoView()")
        app.shoot('explorer-phone-dark', whole=True)
        app.dark(False)
        browser.width(DESK)

        # the class under the pointer
        browser.execute_script("document.querySelector('.taidpt-explorer').scrollIntoView()")
        plain, colours = app.picture(), app.colours()
        pointer.move_to_element(app.option(second)).perform()
        browser.until(lambda: app.text('told').startswith(f'{second}: score'), 'pointing at a class changes nothing')
        browser.until(lambda: app.picture() != plain and sum(abs(a - b) for a, b in zip(app.colours(), colours)) > 5 * len(colours), 'no other map')
        assert app.option(second).get_attribute('aria-selected') == 'true'
        app.shoot('explorer-hover')

        # how long it takes, seen from the page
        took = browser.execute_async_script("""
            const [done] = arguments, options = [...document.querySelectorAll('.classes [aria-selected=false]')].slice(0, 10), image = document.querySelector('.view'), took = [];
            const next = () => {
              const o = options[took.length];
              if (!o) return done(took);
              const start = performance.now();
              image.addEventListener('load', () => { took.push(performance.now() - start); setTimeout(next, 100); }, {once: true});
              o.dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
            };
            next();""")
        print(f'pointer to map on the page: {sorted(took)[len(took)//2]:.0f} ms in the median, at most {max(took):.0f} ms')
        (ARTIFACTS/'hover_ms.json').write_text(json.dumps([round(t, 1) for t in took]))

        # the same by keyboard, and other prompts
        browser.execute_script('document.querySelector(\'.classes [tabindex="0"]\').focus()')
        browser.until(lambda: app.text('told').startswith(f'{first}:'), 'focus does not show a class')
        browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
        browser.until(lambda: app.text('told').startswith(f'{app.names()[1]}:'), 'the arrow key does not move')
        scores = [o.get_attribute('aria-label') for o in app.classes()]
        Select(browser.find('.taidpt-explorer select')).select_by_visible_text('zero-shot CLIP')
        browser.until(lambda: [o.get_attribute('aria-label') for o in app.classes()] != scores, 'other prompts give the same scores')
        app.shoot('explorer-zero-shot')
        Select(browser.find('.taidpt-explorer select')).select_by_visible_text('TaI-DPT')
        browser.until(lambda: [o.get_attribute('aria-label') for o in app.classes()] == scores, 'the first prompts are not back')

        # a class is added by keyboard
        browser.find('.gallery [role=option]').click()
        browser.until(lambda: '000000000285' in app.text('credit'), 'the photo is not shown')
        browser.execute_script("""
            window.signs = [];
            const busy = document.querySelector('.busy'), typed = document.querySelector('.right input[type=text]');
            new MutationObserver(() => signs.push([busy.textContent, typed.disabled])).observe(busy, {childList: true});""")
        name = browser.find('.right input[type=text]')
        name.send_keys('bear', Keys.ENTER)
        browser.until(lambda: 'bear' in app.names() and app.text('told').startswith('bear: score'), 'the class is not added')
        browser.until(lambda: browser.execute_script('return signs.length == 2 && !signs[1][0]'), 'it stays busy')
        assert browser.execute_script('return signs[0]') == ['Encoding “bear” …', True] and name.is_enabled() and not name.get_attribute('value')
        assert len(app.classes()) == 21 and float(app.option('bear').find_element(By.CSS_SELECTOR, '.score').text)
        assert app.names()[0] == 'bear' and app.option('bear').get_attribute('class') == 'present'
        app.shoot('explorer-added')
        name.send_keys('bear', Keys.ENTER)
        browser.until(lambda: 'in the list already' in app.text('message') and name.is_enabled(), 'no word on a class that is there')
        browser.find('.added button').send_keys(Keys.ENTER)
        browser.until(lambda: len(app.classes()) == 20 and not browser.all('.added button'), 'the class is not taken away')
        assert 'bear' not in app.names() and not app.text('message')

        # a sentence
        browser.find('.left input').send_keys('A man rides a horse past a parked bus while his dog runs behind.', Keys.ENTER)
        browser.until(lambda: 'horse' in app.text('words') and not app.text('busy'), 'the sentence is not shown')
        assert not browser.find('.view').is_displayed() and not browser.all('.track b')
        pointer.move_to_element(app.option('horse')).perform()
        browser.until(lambda: app.text('told').startswith('horse: score') and app.text('words .best'), 'no words for a class')
        assert not app.text('message')
        app.shoot('explorer-sentence')

        # uploads: a photo, and what is none
        photo = PHOTOS/'000000007281.jpg'
        browser.find('input[type=file]').send_keys(str(photo))
        browser.until(lambda: photo.name in app.text('about') and browser.find('.view').is_displayed(), 'the upload is not shown')
        app.shoot('explorer-upload')
        broken = tmp_path/'holiday.jpg'
        broken.write_bytes(photo.read_bytes()[:5000])
        browser.find('input[type=file]').send_keys(str(broken))
        browser.until(lambda: 'holiday.jpg cannot be read' in app.text('message'), 'no word on a broken picture')
        assert browser.find('.message').get_attribute('role') == 'alert' and 'Traceback' not in browser.page_source
        app.shoot('explorer-broken-upload')

        browser.width(PHONE)
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", app.classes()[0])
        app.classes()[0].click()                                       # a tap
        browser.until(lambda: app.text('told').startswith(f'{app.names()[0]}: score'), 'a tap shows nothing')
        assert app.columns() == 1
        app.shoot('explorer-phone', whole=True)
        app.quiet()


def test_app(tmp_path, browser):
    "One command serves it, behind a token; Ctrl-C ends it"
    pytest.importorskip('voila')
    command = [sys.executable, '-c', 'import sys; from taidpt.apps.cli import main; sys.exit(main(sys.argv[1:]))', 'app', '--no-browser', '--quiet']
    folders = {v: str(tmp_path/v.lower()) for v in ('JUPYTER_CONFIG_DIR', 'JUPYTER_DATA_DIR', 'JUPYTER_RUNTIME_DIR', 'IPYTHONDIR')}
    (tmp_path/'jupyter_config_dir').mkdir()
    (tmp_path/'jupyter_config_dir/voila.json').write_text('{"Voila": {"ip": "0.0.0.0", "token": ""}}')
    env = {**os.environ, **folders, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'HF_HUB_OFFLINE': '1'}
    with open(tmp_path/'log', 'w') as log, subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=log, text=True,
                                                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        try:
            address = process.stdout.readline().strip()
            plain, _, token = address.partition('?token=')
            assert plain.startswith('http://127.0.0.1:') and len(token) == 48, (tmp_path/'log').read_text()
            port = int(plain.rpartition(':')[2].strip('/'))
            def listens(host):
                try: socket.create_connection((host, port), 1).close()
                except OSError: return False
                return True
            browser.until(lambda: listens('127.0.0.1'), 'nothing is served', 120)
            assert not listens('127.0.0.2')                            # another address of this machine
            browser.get(plain)
            assert '/login' in browser.current_url and not browser.all('.taidpt-explorer')
            browser.get(address)
            app = App(browser)
            assert len(app.classes()) == 20 and browser.all('.classes .absent b')
            app.shoot('app', whole=True)
        finally: process.send_signal(signal.SIGINT)
        try: assert process.wait(30) == 0
        finally: process.kill()                                        # or this test would wait for it for ever


def test_explorer_in_jupyterlab(tmp_path, browser):
    "It appears under its cell, and keys go to it and not to the notebook"
    pytest.importorskip('jupyterlab')
    cells = [nbformat.v4.new_code_cell('from taidpt.all import *\nExplorer()'), nbformat.v4.new_code_cell('1 + 1')]
    (tmp_path/'work').mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python'))), tmp_path/'work/app.ipynb')
    settings = tmp_path/'jupyterlab_settings_dir/@jupyterlab/apputils-extension'
    settings.mkdir(parents=True)
    (settings/'notification.jupyterlab-settings').write_text('{"fetchNews": "false", "checkForUpdates": false}')
    with Server(tmp_path, 'jupyterlab', '--allow-root', '--expose-app-in-browser', '--IdentityProvider.token=', f'--ServerApp.root_dir={tmp_path}/work') as server:
        browser.get(f'{server.address}/lab/tree/app.ipynb')
        ready = lambda: browser.execute_script("return window.jupyterapp?.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'")
        browser.until(ready, 'JupyterLab does not open the notebook', 240)
        browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        app = App(browser)
        name = app.names()[1]
        browser.execute_script("document.querySelector('.classes [role=option]').focus()")
        browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
        browser.until(lambda: app.text('told').startswith(f'{name}: score'), 'the arrow key does not move')
        assert browser.switch_to.active_element.get_attribute('data-name') == name
        browser.execute_script("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
        scheme = "return getComputedStyle(document.querySelector('.taidpt-explorer')).colorScheme"
        browser.until(lambda: browser.execute_script(scheme) == 'dark', 'it is not dark in a dark JupyterLab')
        app.shoot('explorer-jupyterlab', whole=True)
