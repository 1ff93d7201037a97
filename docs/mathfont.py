"""Make docs/_static/math.woff, the letters and signs of the site's equations, from
STIXMath-Regular.otf (Debian's fonts-stix).

    make docs && python docs/mathfont.py STIXMath-Regular.otf

Run it again when an equation has a new sign: tests/test_docs.py says which.
"""
import html
import re
import sys
from pathlib import Path

from fontTools import subset

docs = Path(__file__).resolve().parent
FONT = docs/'_static/math.woff'
RANGES = [
    (0x20, 0x7f),               # letters
    (0x391, 0x3ca),             # Greek ones
    (0x1d434, 0x1d468),         # italic letters
    (0x1d49c, 0x1d4b6),         # capitals in script
    (0x1d6a4, 0x1d71c),         # italic Greek letters
]


def signs(site: Path) -> set[str]:
    "All that the site's equations show"
    shown = set()
    for page in site.rglob('*.html'):
        text = page.read_text(encoding='utf-8')
        for equation in re.findall('<math.*?</math>', text, re.DOTALL):
            shown |= set(html.unescape(re.sub('<[^>]+>', '', equation)))
            if re.search('<m(sqrt|root)', equation): shown.add('√')       # the browser draws it
    return {sign for sign in shown if not sign.isspace()}


def main(whole: str):
    wanted = {ord(sign) for sign in signs(docs/'_build/html')} | {ord('ℎ')}
    for first, end in RANGES: wanted |= set(range(first, end))
    options = subset.Options(
        flavor='woff', layout_features=['ssty', 'dtls', 'flac'], hinting=False,
        name_IDs=[0, 1, 2, 4, 6, 13, 14], ignore_missing_unicodes=True)
    font = subset.load_font(whole, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    for kind in (1, 4, 6):                                  # STIX is a reserved name
        font['name'].setName('taidptMath', kind, 3, 1, 0x409)
    subset.save_font(font, str(FONT), options)


if __name__ == '__main__': main(*sys.argv[1:])
