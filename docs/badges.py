"""Draw the badges of the front page, from settings.ini: python docs/badges.py"""
import configparser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
images = root/'docs/images'
LICENCES = {'apache2': 'Apache 2.0'}
LETTER = 6.6                              # pixels of a letter, on average
PAD = 7

SVG = '''<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="20" role="img" \
aria-label="{name}: {value}">
<title>{name}: {value}</title>
<rect width="{width:.0f}" height="20" rx="3" fill="#444"/>
<path d="M{split:.0f} 0h{rest:.0f}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{rest:.0f}z" fill="#1f5f99"/>
<g fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
<text x="{pad}" y="14" textLength="{left:.0f}">{name}</text>
<text x="{second:.0f}" y="14" textLength="{right:.0f}">{value}</text>
</g>
</svg>
'''


def said() -> dict[str, tuple[str, str]]:
    "What the badges say: file -> name and value"
    ini = configparser.ConfigParser(delimiters=['='])
    ini.read(root/'settings.ini')
    cfg = ini['DEFAULT']
    return {
        'badge-licence.svg': ('licence', LICENCES[cfg['license']]),
        'badge-python.svg': ('python', f'{cfg["min_python"]} to {cfg["max_python"]}'),
    }


def badge(name: str, value: str) -> str:
    left, right = (LETTER*len(text) for text in (name, value))
    split = left + 2*PAD
    return SVG.format(
        name=name, value=value, pad=PAD, left=left, right=right, split=split, second=split + PAD,
        rest=right + 2*PAD - 3, width=split + right + 2*PAD)


def drawings() -> dict[str, str]:
    "All badges: file -> SVG"
    return {file: badge(name, value) for file, (name, value) in said().items()}


if __name__ == '__main__':
    for file, svg in drawings().items(): (images/file).write_text(svg, encoding='utf-8')
