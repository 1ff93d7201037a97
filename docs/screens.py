"""Take the pictures of the report and of the Explorer that pages show, on light and on dark:

    taidpt demo
    taidpt tag "bus,sheep,bicycle,person,fire truck" four/ --report tags.html
    python docs/screens.py demo/report.html report.html tags.html

`four` holds the bundled photos 11149, 12062, 1268 and 6723; report.html is the one that
`nbs/tutorials/read_a_report.ipynb` writes. It needs Chromium with its chromedriver, and Voilà.
A picture is as wide as a page's text, so that the site shows it in its own size; NAME-dark.jpg is
NAME.jpg on a dark page.
"""
import io
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

IMAGES = Path(__file__).parent.parent/'nbs/tutorials/images'
WIDTH = 806                             # at which the Explorer has two columns
SENTENCE = 'A man rides a horse past a parked bus while his dog runs behind.'
CLASSES = '.taidpt-explorer .classes [role=option]'


def browser() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    for flag in ('headless=new', 'no-sandbox', 'hide-scrollbars', 'disable-smooth-scrolling'):
        options.add_argument(f'--{flag}')
    return webdriver.Chrome(options)


def size(chrome, width: int, height: int = 1400):
    how = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    chrome.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', how)


def theme(chrome, name: str):
    feature = dict(name='prefers-color-scheme', value=name)
    chrome.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=[feature]))
    time.sleep(1)


def until(ready: Callable, seconds: int = 240):
    "Wait until something is true"
    end = time.time() + seconds
    while not ready():
        if time.time() > end: raise TimeoutError(ready)
        time.sleep(.2)


def take(chrome, name: str, css: str, height: int|None = None, before: Callable = bool):
    "The element on a light and on a dark page, from its top to `height`; `before`: what is done"
    for mode, file in (('light', name), ('dark', f'{name}-dark')):
        theme(chrome, mode)
        before()
        box = chrome.execute_script(
            'const box = document.querySelector(arguments[0]).getBoundingClientRect();'
            'return [box.x + scrollX, box.y + scrollY, box.width, box.height]', css)
        clip = dict(zip(('x', 'y', 'width', 'height'), map(round, box)), scale=1)
        if height: clip['height'] = height
        how = dict(format='png', captureBeyondViewport=bool(height), clip=clip)
        shot = chrome.execute_cdp_cmd('Page.captureScreenshot', how)
        picture = Image.open(io.BytesIO(b64decode(shot['data']))).convert('RGB')
        picture.save(IMAGES/f'{file}.jpg', quality=60, optimize=True, progressive=True)
    theme(chrome, 'light')


def report(chrome, file: Path):
    "A report without its average precisions by class and its commands"
    size(chrome, 740)
    chrome.get(file.resolve().as_uri())
    chrome.execute_script(
        "for (const part of document.querySelectorAll('section:has(h2)')) part.remove()")
    take(chrome, 'report', 'body', 2010)


def card(chrome, file: Path, photo: str):
    "The card of a photo in a report"
    size(chrome, 740)
    chrome.get(file.resolve().as_uri())
    chrome.execute_script("""
        for (const card of document.querySelectorAll('.card'))
          if (!card.textContent.includes(arguments[0])) card.remove();
        document.querySelector('.card').hidden = false;
        document.querySelector('.card').scrollIntoView();""", photo)
    take(chrome, 'card', '.card')


def tags(chrome, file: Path):
    "The photos of a page of tags, in two columns"
    size(chrome, 960)
    chrome.get(file.resolve().as_uri())
    chrome.execute_script("document.querySelector('.grid').scrollIntoView()")
    take(chrome, 'tags', '.grid')


def explorer(chrome):
    "The app at first, with a class more, and with a sentence"
    command = [Path(sys.executable).with_name('taidpt'), 'app', '--no-browser', '--quiet']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as app:
        size(chrome, WIDTH)
        address = app.stdout.readline().strip()
        time.sleep(10)
        chrome.get(address)
        until(lambda: chrome.find_elements(By.CSS_SELECTOR, CLASSES))
        try: walk(chrome)
        finally: app.terminate()


def walk(chrome):
    "What one does in the app, with its pictures"
    app = '.taidpt-explorer'
    def find(css): return chrome.find_element(By.CSS_SELECTOR, css)
    def point(name):
        told = find(f'{app} .told')
        option = find(f'{CLASSES}[data-name="{name}"]')
        ActionChains(chrome).move_to_element(told).move_to_element(option).perform()
        time.sleep(3)                                     # what was pointed at before is done
        until(lambda: told.text.startswith(f'{name}: score'))

    def read_horse():
        point('horse')
        until(lambda: find(f'{app} .words .best').text == 'horse')

    take(chrome, 'explorer', app)
    find('.gallery [role=option]').click()
    until(lambda: '000000000285' in find('.credit').text)
    inputs = '.taidpt-app .controls input[type=text]'
    sentence, name = chrome.find_elements(By.CSS_SELECTOR, inputs)
    name.send_keys('bear', Keys.ENTER)
    until(lambda: chrome.find_elements(By.CSS_SELECTOR, f'{CLASSES}[data-name="bear"]'))
    take(chrome, 'explorer-added', app, before=lambda: point('bear'))
    find('.taidpt-app .controls button').send_keys(Keys.ENTER)
    sentence.send_keys(SENTENCE, Keys.ENTER)
    until(lambda: 'horse' in find(f'{app} .words').text)
    take(chrome, 'explorer-sentence', app, before=read_horse)


if __name__ == '__main__':
    with browser() as chrome:
        made, measured, tagged = map(Path, sys.argv[1:])
        report(chrome, made)
        card(chrome, measured, '000000008021')
        tags(chrome, tagged)
        explorer(chrome)
