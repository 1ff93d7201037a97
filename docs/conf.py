"""Sphinx's settings: notebooks through MyST-NB, shown with the outputs they hold. `make docs`
builds the site."""
import configparser
import re
from functools import cache, partial
from itertools import groupby
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from pygments.lexers import PythonLexer
from pygments.token import Name, Operator, Punctuation, String, Text, Whitespace
from sphinx import addnodes
from sphinx.search.en import SearchEnglish

ini = configparser.ConfigParser(delimiters=['='])
ini.read(Path(__file__).parent.parent/'settings.ini')
cfg = ini['DEFAULT']

project = cfg['title']
author = cfg['author']
release = cfg['version']
copyright = cfg['copyright'].split(' onwards')[0] + f', {author}'
html_title = project
html_theme = 'furo'
html_theme_options = {
    'source_repository': cfg['git_url'],
    'source_branch': cfg['branch'],
    'source_directory': 'nbs/',
}
html_static_path = ['_static', 'images']  # pages show drawings of docs/images in <picture>, too
templates_path = ['_templates']
html_css_files = ['site.css', 'figures.css', 'touch.css']
html_js_files = [('touch.js', {'defer': 'defer'})]
html_favicon = '_static/favicon.svg'
html_copy_source = False
html_search_scorer = str(Path(__file__).parent/'scorer.js')
html_math_renderer = 'mathml'

extensions = ['myst_nb', 'sphinx_copybutton']
copybutton_selector = 'div:not(.output) > div.highlight > pre'      # code, and not what it printed
copybutton_exclude = '.linenos, .gp, .go'
root_doc = 'index'
nb_execution_mode = 'off'
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = 'The code'
nb_render_markdown_format = 'myst'  # outputs may hold tables
myst_enable_extensions = ['dollarmath', 'amsmath', 'attrs_inline']
myst_heading_anchors = 3
suppress_warnings = ['mystnb.unknown_mime_type', 'myst.header']


PRIME = '<mo lspace="0" rspace="0">&#x02032;</mo>'


def mathml(latex, display):
    "An equation as MathML, with primes of full size, which stand high enough"
    text = convert(latex, display=display)
    letter = r'(<mi[^>]*>[^<]*</mi>)'
    text = re.sub(f'<msup>{letter}<mi>&#x02032;</mi></msup>', rf'<mrow>\1{PRIME}</mrow>', text)
    return re.sub(
        rf'<msubsup>{letter}(<m[in]>[^<]*</m[in]>|<mrow>.*?</mrow>)<mi>&#x02032;</mi></msubsup>',
        rf'<msub><mrow>\1{PRIME}</mrow>\2</msub>', text)


def math(display):
    "A visitor that writes an equation as MathML"
    def visit(writer, node):
        writer.body.append(mathml(node.astext(), display))
        raise SkipNode
    return visit


# Code and search

PLAIN = (                               # what has no colour of its own
    Name, Name.Namespace, Name.Builtin, Name.Builtin.Pseudo, Operator, Punctuation, Whitespace,
    String.Interpol,
)
STRINGS = String.Affix, String.Single, String.Double


def colour_of(kind):
    "The kind of token that has the same colour, one for all that are alike"
    if kind in PLAIN: return Text
    return String if kind in STRINGS else kind


class Lean(PythonLexer):
    """Python with marks around what has a colour of its own only: half of the page's bytes, and of
    a browser's work"""
    def get_tokens(self, text, **options):
        tokens = super().get_tokens(text, **options)
        for kind, group in groupby(tokens, lambda token: colour_of(token[0])):
            yield kind, ''.join(value for _, value in group)


SearchEnglish.stem = cache(SearchEnglish.stem)      # of a word once, and not once a page


def index_sections(app, doctree):
    "Entries of the index lead to their section, whose text the search shows, or to the whole page"
    for index in doctree.findall(addnodes.index):
        whole = index.parent.parent is doctree
        section = '' if whole else index.parent['ids'][0]
        index['entries'] = [
            (kind, words, section, *rest) for kind, words, _, *rest in index['entries']]


# What the theme makes of a page, each by its name and what the template is given

ABOUT = ('changelog', 'security', 'licenses', 'site')


def edit_nothing(app, pagename, templatename, context, doctree):
    """Pages of the reference are made from the package, and those about it lie elsewhere: there is
    no source file to edit"""
    made = pagename.startswith('reference/') or pagename.endswith('/index')
    if not made and pagename not in ABOUT: return
    context['page_source_suffix'] = None
    context['theme_source_repository'] = None


@cache
def menu_of(builder, folder, **options):
    """The menu of a folder's pages: one of each page's own would be a third of the work. What the
    page of the reference lists is not in it."""
    return builder._get_local_toctree(f'{folder}any', **options | {'maxdepth': 1})


def one_menu(app, pagename, templatename, context, doctree):
    "The pages of a folder share a menu; `fold_menu` marks each in it"
    folder = pagename[:pagename.rfind('/') + 1]
    context['toctree'] = partial(menu_of, app.builder, folder)


CAPTION = r'<p [^>]*class="caption"[^>]*><span class="caption-text">(.*?)</span></p>'


def fold_menu(app, pagename, templatename, context, doctree):
    """The page is marked, and all groups but its own fold away; a page that is not in the menu
    belongs to the reference"""
    menu = context['furo_navigation_tree']
    name = re.escape(pagename.split('/')[-1])
    link = rf'<li class="toctree-l1"><a (class="[^"]+") href="{name}\.html"'
    marked = r'<li class="toctree-l1 current current-page"><a \1 href="#"'
    menu, is_in_menu = re.subn(link, marked, menu)
    menu, *parts = re.split(CAPTION, menu)
    groups = dict(zip(parts[::2], parts[1::2]))
    shown = 'Learn it' if pagename == 'index' else 'Reference'
    if is_in_menu: shown = next(title for title in groups if 'current-page' in groups[title])
    for title, pages in groups.items():
        state = ' open' if title == shown else ''
        summary = f'<summary class="caption">{title}</summary>'
        menu += f'<details{state}>{summary}{pages}</details>'
    context['furo_navigation_tree'] = menu


# Figures

def figures(app, pagename, templatename, context, doctree):
    """A figure's further panels need no words of their own; a drawing is there twice, for light and
    for dark pages (see figures.py)"""
    # outputs are named by their digests
    sources = {name: uri for uri, name in app.builder.images.items()}

    def without_words(match):
        first, words, others = match.groups()
        return first + others.replace(f'alt="{words}"', 'alt=""')

    def in_both(match):
        start, file, end = match.groups()
        svg = Path(app.srcdir, sources[file]).read_text(encoding='utf-8')
        width = float(re.search(r'<svg[^>]* width="([\d.]+)"', svg)[1])
        # text of 9 points is still legible; a phone scrolls what is wider
        legible = f'style="min-width: {min(.62*width, 600):.0f}px"'
        light = f'<img class="only-light" {legible} {start}{file}{end}'
        return f'{light}<img class="only-dark" {legible} {start}{file}#dark{end}'

    # those of an output have no class yet
    panels = r'(<img alt="([^"]+)" src=[^>]*/>\s*)((?:<img alt="\2" src=[^>]*/>\s*)+)'
    body = re.sub(panels, without_words, context.get('body', ''))
    drawing = r'<img ([^>]*src="[^"]*_images/)(\w{64}\.svg)("[^>]*/>)'
    context['body'] = re.sub(drawing, in_both, body)


# Wide figures

FITS = 540                              # pixels: a phone shows two thirds of a figure as wide


@cache
def width_of(path):
    "How many pixels wide a figure is; a drawing's width may be in points"
    if path.suffix == '.svg':
        width = re.search(r'<svg[^>]* width="([\d.]+)(pt)?', path.read_text('utf-8'))
        return float(width[1])*(4/3 if width[2] else 1)
    from PIL import Image
    with Image.open(path) as file: return file.width


def wide_figures(app, pagename, templatename, context, doctree):
    """Mark figures that a phone would shrink until nobody can read them: site.css lets them scroll
    there"""
    sources = {name: uri for uri, name in app.builder.images.items()}

    def marked(match):
        picture, name = match.groups()
        wide = name in sources and width_of(Path(app.srcdir, sources[name])) > FITS
        return f'<img data-wide {picture}' if wide else match[0]

    figure = r'<img ((?:(?!data-wide)[^>])*src="[^"]*_images/(\w{64}\.\w+)(?:#\w+)?")'
    context['body'] = re.sub(figure, marked, context.get('body', ''))


# The whole site

def weigh(app, error):
    """Say what the site weighs, here and on its own page, without maps of the theme's sources,
    which nobody debugs here"""
    if error or app.builder.name != 'html': return
    site = Path(app.outdir)
    for theirs in (site/'_static').rglob('*.map'): theirs.unlink()
    total = sum(file.stat().st_size for file in site_files(site))
    weight = f'{total/1e6:.1f} MB'
    page = site/'site.html'
    page.write_text(page.read_text('utf-8').replace('SITE-WEIGHT', weight), 'utf-8')
    print(f'The site weighs {weight}.')


def site_files(folder):
    "The files that are served, without Sphinx's own notes and the app of Try it"
    def served(path):
        parts = path.relative_to(folder).parts
        return path.is_file() and parts[0] != 'page' and not any(p.startswith('.') for p in parts)
    return list(filter(served, folder.rglob('*')))


def setup(app):
    "Browsers draw MathML by themselves: pages need no script from elsewhere"
    app.connect('doctree-read', index_sections)
    app.connect('html-page-context', edit_nothing)
    app.connect('html-page-context', figures)
    app.connect('html-page-context', wide_figures)
    app.connect('html-page-context', one_menu, priority=400)        # Furo's own is at 500
    app.connect('html-page-context', fold_menu, priority=600)
    app.connect('build-finished', weigh)
    app.add_lexer('python', Lean)
    app.add_html_math_renderer('mathml', (math('inline'), None), (math('block'), None))
