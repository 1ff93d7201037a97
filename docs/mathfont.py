"""Make docs/_static/math.woff, the letters and signs of the site's equations, from STIXMath-Regular.otf (Debian's fonts-stix).

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


def signs(site: Path) -> set[str]:
    "All that the site's equations show"
    found = ''.join(m for p in site.rglob('*.html') for m in re.findall('<math.*?</math>', p.read_text(encoding='utf-8'), re.DOTALL))
    return {c for c in html.unescape(re.sub('<[^>]+>', '', found)) if not c.isspace()}


def main(whole: str):
    ranges = [(0x20, 0x7f), (0x391, 0x3ca), (0x1d434, 0x1d468), (0x1d49c, 0x1d4b6), (0x1d6a4, 0x1d71c)]      # letters, Greek ones, both in italics, capitals in script
    options = subset.Options(flavor='woff', layout_features=['ssty', 'dtls', 'flac'], hinting=False, name_IDs=[0, 1, 2, 4, 6, 13, 14], ignore_missing_unicodes=True)
    font = subset.load_font(whole, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes={ord(c) for c in signs(docs/'_build/html')} | {ord('ℎ')}.union(*(range(*r) for r in ranges)))
    subsetter.subset(font)
    for kind in (1, 4, 6): font['name'].setName('taidptMath', kind, 3, 1, 0x409)                    # STIX is a reserved name
    subset.save_font(font, str(FONT), options)


if __name__ == '__main__': main(*sys.argv[1:])
