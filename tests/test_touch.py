"""Figures to touch: what the page works out is what the package computes, by mouse, keyboard, touch, and without a script."""
import json
import re

import pytest
import torch

from test_browser import DESK, PHONE, ActionChains, Browser, Keys, served    # with a Chromium, or this is skipped

from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput

from taidpt.losses import ranking_loss
from taidpt.scores import local_scores

TOUCH = 'tutorials/touch.html'


@pytest.fixture(scope='module')
def browser():
    b = Browser()
    try: yield b
    finally: b.quit()


class Figure:
    "A figure of one kind on the page that is open"
    def __init__(self, browser, kind):
        self.b, self.kind = browser, f'.taidpt-touch[data-kind={kind}]'
        browser.until(lambda: browser.all(f'{self.kind}.moves'), f'the figure {kind} does not move')
        browser.execute_script('document.documentElement.style.scrollBehavior = "auto"; arguments[0].scrollIntoView()', browser.find(self.kind))
        self.data = json.loads(browser.find(self.kind).get_attribute('data-figure'))
    def find(self, css): return self.b.find(f'{self.kind} {css}')
    def all(self, css): return self.b.all(f'{self.kind} {css}')
    def told(self): return self.find('.told').text
    def number(self, after): return float(re.search(re.escape(after) + r' ?(-?[\d.]*\d)', self.told())[1])
    def row(self, name): return self.find(f'.row[data-i="{self.data["names"].index(name)}"]')
    def slide(self, index, which=0):
        slider = self.all('input')[which]
        self.b.execute_script('arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event("input"))', slider, index)
    def texts(self, css): return self.b.execute_script(f"return [...document.querySelectorAll('{self.kind} {css}')].map(e => e.textContent)")
    def labels(self, css): return self.b.execute_script(f"return [...document.querySelectorAll('{self.kind} {css}')].map(e => e.getAttribute('aria-label'))")
    def column(self, k=1): return {r.split('\n')[0]: float(r.split('\n')[k]) for r in self.b.execute_script(
        f"return [...document.querySelectorAll('{self.kind} .list .row')].map(r => [...r.children].map(c => c.textContent).join('\\n'))")}


def pooled(P, tau):
    "Eq. 6 of the package for cosines P, C × positions: vectors at the angles that give them"
    P = torch.tensor(P)
    return local_scores(torch.stack([P, (1 - P**2).sqrt()], -1), torch.tensor([[1., 0.]]), tau)[:, 0]


@pytest.mark.parametrize('page', [TOUCH, '06_scores.html'])
def test_the_temperature(page, served, browser):
    browser.get(f'{served}/{page}')
    f = Figure(browser, 'pooling')
    names, taus = f.data['names'], f.data['taus']
    for k in (0, 4, taus.index(.02), taus.index(.1), len(taus) - 1):
        f.slide(k)
        want = pooled(f.data['maps'], taus[k])
        shown = f.column()
        assert [*shown] == [names[c] for c in want.argsort(descending=True, stable=True)] or k == 0       # the best first
        assert torch.tensor([shown[n] for n in names]).sub(want).abs().max() < 1e-3
        c = names.index(f.told().split(' at temperature')[0])
        assert abs(f.number('local score') - want[c]) < 1e-3 and f.find('output').text == f'{taus[k]:g}'
        weights = [float(re.search(r'weight ([\d.]+) %', label)[1])/100 for label in f.labels('.place')]
        assert (torch.tensor(weights) - (torch.tensor(f.data['maps'][c])/taus[k]).softmax(0)).abs().max() < 1e-3
    assert not browser.problems()


@pytest.mark.parametrize('page', [TOUCH, '07_losses.html'])
def test_the_margin(page, served, browser):
    browser.get(f'{served}/{page}')
    f = Figure(browser, 'margin')
    scores, labels = torch.tensor(f.data['scores']), torch.tensor(f.data['labels'])
    for n, sentence in enumerate(f.all('.choice button')):
        sentence.click()
        for m, s in ((20, 3), (0, 3), (7, 0), (40, 15)):
            f.slide(m, 0); f.slide(s, 1)
            margin, row, y = f.data['margins'][m], f.data['scales'][s]*scores[n], labels[n]
            loss = ranking_loss(row[None], y[None], margin).item()
            assert abs(f.number('Loss:') - loss) < 1e-3
            assert f.number('Active pairs:') == (margin - row[y][:, None] + row[~y] > 0).sum() == len(f.all('svg .in'))
    assert not browser.problems()


@pytest.mark.parametrize('page', [TOUCH, '13_ensemble.html'])
def test_the_weight(page, served, browser):
    browser.get(f'{served}/{page}')
    f = Figure(browser, 'weight')
    ap = torch.tensor(f.data['ap'])
    for k, published in ((0, 88.075), (16, 94.759), (18, 94.6125), (20, 94.183)):
        f.slide(k)
        assert abs(f.number(':') - published) < .006
        shown = f.column()
        assert max(abs(shown[n] - a) for n, a in zip(f.data['names'], ap[k].tolist())) < .051
    assert not browser.problems()


def test_pointing(served, browser):
    "A class, a place, a token, a slider; by mouse, keyboard and finger"
    browser.get(f'{served}/{TOUCH}')
    f, pointer = Figure(browser, 'places'), ActionChains(browser)
    photo, sentence = (pooled(f.data[part], tau) for part, tau in zip(('photo', 'sentence'), f.data['tau']))
    best = lambda css: f.all(css).index(f.find(f'{css}.best'))
    at = lambda part, name: torch.tensor(f.data[part][f.data['names'].index(name)])
    for name, p, q in zip(f.data['names'], photo, sentence): assert abs(f.column(1)[name] - p) < 6e-3 > abs(f.column(2)[name] - q)

    pointer.move_to_element(f.row('motorbike')).perform()
    browser.until(lambda: f.told().startswith('motorbike: in the photo'), 'pointing at a class changes nothing')
    assert best('.place') == at('photo', 'motorbike').argmax() and best('.token') == at('sentence', 'motorbike').argmax()
    pointer.move_to_element(f.all('.place')[24]).perform()
    browser.until(lambda: f.told().startswith('At row 4, column 4 of the photo: bicycle'), 'pointing at a place changes nothing')
    assert abs(f.column()['motorbike'] - at('photo', 'motorbike')[24]) < 6e-3
    pointer.move_to_element(f.all('.token')[2]).perform()
    browser.until(lambda: f.told().startswith('At “motorbike”: motorbike'), 'pointing at a token changes nothing')
    pointer.move_to_element(f.find('.told')).perform()
    browser.until(lambda: f.told().startswith('bicycle: in the photo'), 'the first class is not back')

    browser.execute_script('arguments[0].focus()', f.find('.grid [tabindex="0"]'))
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert f.told().startswith('At row 2, column 2 of the photo')
    browser.switch_to.active_element.send_keys(Keys.TAB)               # one stop for 49 places
    assert f.told().startswith('At “SOT”')
    browser.switch_to.active_element.send_keys(Keys.END)
    assert f.told().startswith('At “EOT”')
    browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    second = f.data['names'][photo.argsort(descending=True)[1]]
    assert f.told().startswith(f'{second}: ') and f.row(second).get_attribute('aria-pressed') == 'true'

    f = Figure(browser, 'pooling')
    before = f.told()
    f.find('input').send_keys(Keys.ARROW_RIGHT)
    taus = f.data['taus']
    following = taus[taus.index(f.data['tau']) + 1]
    assert f'at temperature {following}' in f.told() and f.find('input').get_attribute('aria-valuetext') == str(following)
    f.find('.back').click()
    assert f.told() == before

    browser.width(PHONE)
    f, finger = Figure(browser, 'places'), PointerInput('touch', 'finger')
    tap = ActionBuilder(browser, mouse=finger)
    browser.execute_script('arguments[0].scrollIntoView({block: "center"})', f.all('.place')[45])
    tap.pointer_action.move_to(f.all('.place')[45]).pointer_down().pointer_up()
    tap.perform()
    browser.until(lambda: f.told().startswith('At row 7, column 4'), 'a tap shows nothing')
    assert not browser.problems()
    browser.width(DESK)


def test_words_without_a_script(site, served, browser):
    "A reader without JavaScript has the photo, its source and the words; the figures are small"
    browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', dict(value=True))
    browser.get(f'{served}/{TOUCH}')
    figures = browser.all('.taidpt-touch')
    browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', dict(value=False))
    assert len(figures) == 4 and all(f.is_displayed() and not f.find_elements('css selector', 'button') for f in figures)
    places, pooling, margin, weight = (f.text for f in figures)
    assert 'In the sentence: motorbike' in places and 'COCO 11149' in places and 'at 0.025: horse' in pooling
    assert 'of 64 pairs' in margin and 'at most 94.76' in weight
    total = sum(len(m) for page in site.rglob('*.html') for m in re.findall(r'<div class="taidpt-touch".*?</div>', page.read_text(encoding='utf-8'), re.DOTALL))
    assert 50_000 < total < 600_000
